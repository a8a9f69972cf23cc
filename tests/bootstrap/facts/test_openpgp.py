"""Fingerprints as gpg prints them; damage is an error, never another fingerprint."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.facts.openpgp import fingerprints

ED25519 = b"""\
-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEawZXQxYJKwYBBAHaRw8BAQdA+1VXv1lPq1lKVPiDniX8LaxcNPbatvB4Xhe3
QyuMACq0I1Rlc3QgYXJjaGl2ZSA8dGVzdEBzbGlwd2F5LmludmFsaWQ+iJAEExYI
ADgWIQQdYCc5lmk6a1jczO6Jj1ZTtLBp9QUCawZXQwIbAwULCQgHAgYVCgkICwIE
FgIDAQIeAQIXgAAKCRCJj1ZTtLBp9VKPAQD+Bh9etpxZsIuxtWPylSCftCYvKnXj
CH5EI31IWfyyiQD+NyYytF6F5CWCYYjGNWMOrhZ7cotxWJdCvhbS5HVjBAU=
=+xwd
-----END PGP PUBLIC KEY BLOCK-----
"""
RSA = b"""\
-----BEGIN PGP PUBLIC KEY BLOCK-----

mQENBGsGWJoBCACSWaCVAvYDiDIh2U0KLR3d9M1itrQ534jzJpVIeCrYrmKaqJ+C
+auH5xJ/y9RuvrfzLWhLI9RjlT+Udn0RTt7BJtTh37kQb5NaIyi2ujj0DBg9YBVD
zKa0M6IiCcSR/JarKbxILesnyWTtMa8w9eyMPvM1gJcbBVsxonIqiuGjym8VvIdr
rPkN3r+Uy/QfR5aRq1DC27bBv402FKBgOUjGOHbW7DgLaMfY5dy7Xe6o++n14O46
rPUFBhqQJCoKuMFEUZd8SDZWHHCpPXtLh5s8kiQgv4SMRr21kYVPeF2E+ByDcYzK
TLl/rmmYo5rclDCPEDbfMbwwsC9cX6rD7YapABEBAAG0HlRlc3QgUlNBIDxyc2FA
c2xpcHdheS5pbnZhbGlkPokBTgQTAQoAOBYhBDbfInv5Pm5CvebxB0ybq0DViRRi
BQJrBliaAhsDBQsJCAcCBhUKCQgLAgQWAgMBAh4BAheAAAoJEEybq0DViRRiNZ8H
/2jqDVWFqX3qO7I1nVlUQqRl7WrzXq5Rg/FpKExhiEN02ok5PZ0HmwVZOtjub6GG
PIeJobxxZzRgIbK3DlCfD2O5madFBeoDonaMzjaMI6jFsED4ouLCPbQ3Ccq3mT8T
uALb+4XTikXolyOzWEuJgraWRS/HTLcSr0Uzr/OAs4zBUdBQK4IOpv1SUr26Slkx
b/GSFfbILbHdP96qmEd45pJIGlHBa+cdYCaPUHO0LV3ntS66PZweqHShMMM8pADv
nh9awNTCfsD+AMJ+X5USk5EgEfJytfydD3xluAwq93OSYayN87qijV34UGbwfFgH
QvvaK0LUcQ1vYzHDRzZbNrE=
=Oz+F
-----END PGP PUBLIC KEY BLOCK-----
"""


def binary(key: bytes) -> bytes:
    lines = key.strip().split(b"\n")[2:-1]
    return base64.b64decode(b"".join(line for line in lines if not line.startswith(b"=")))


@pytest.mark.parametrize(
    ("key", "fingerprint"),
    [
        (ED25519, "1D60273996693A6B58DCCCEE898F5653B4B069F5"),
        (RSA, "36DF227BF93E6E42BDE6F1074C9BAB40D5891462"),
    ],
    ids=["ed25519", "rsa"],
)
def test_as_gpg_prints_it(key: bytes, fingerprint: str) -> None:
    assert fingerprints(key) == (fingerprint,)
    assert fingerprints(binary(key)) == (fingerprint,)
    assert fingerprints(key.replace(b"\n", b"\r\n")) == (fingerprint,)
    assert fingerprints(key.replace(b"BLOCK-----\n\n", b"BLOCK-----\nVersion: GnuPG v1\n\n", 1)) == (fingerprint,)


def test_every_key_of_a_file_counts() -> None:
    assert fingerprints(ED25519 + RSA) == fingerprints(ED25519) + fingerprints(RSA)


@pytest.mark.parametrize(
    "damaged",
    [b"<html>404</html>", ED25519.replace(b"mDME", b"m*ME"), binary(RSA)[:100], b"\x9b\x00", b"\xc6\xff", b"\xc6\xe0"],
    ids=["html", "armour", "cut-short", "indeterminate", "no-length", "partial"],
)
def test_what_is_no_key_raises(damaged: bytes) -> None:
    with pytest.raises(ValueError, match=r"key|packet"):
        fingerprints(damaged)


@given(st.binary(max_size=300))
def test_any_bytes_give_fingerprints_or_an_error(data: bytes) -> None:
    try:
        found = fingerprints(data)
    except ValueError:
        return
    assert all(len(each) == 40 for each in found)
