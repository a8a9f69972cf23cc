"""Fingerprints of OpenPGP public keys, as apt's key files hold them.

Read here and not by gpg: Debian 13 has none by default, and a key that is not the one pinned is then refused before it
is on the host.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator

_BLOCK = re.compile(rb"-----BEGIN PGP PUBLIC KEY BLOCK-----(.*?)-----END PGP PUBLIC KEY BLOCK-----", re.DOTALL)
_PUBLIC_KEY = 6


def fingerprints(data: bytes) -> tuple[str, ...]:
    """Fingerprints (40 upper-case hex digits) of the primary version-4 keys in `data`, armoured or binary.

    RFC 4880 section 12.2: SHA-1 of 0x99, the packet's length in two octets, and its body.
    Raises ValueError for what is no key file.
    """
    blocks = [_dearmour(block) for block in _BLOCK.findall(data)] or [data]
    return tuple(
        hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body, usedforsecurity=False).hexdigest().upper()
        for block in blocks
        for tag, body in _packets(block)
        if tag == _PUBLIC_KEY and body[:1] == b"\x04"
    )


def _dearmour(block: bytes) -> bytes:
    lines = block.replace(b"\r", b"").strip(b"\n").split(b"\n")
    if b"" in lines:  # headers end with an empty line
        lines = lines[lines.index(b"") + 1 :]
    try:
        return base64.b64decode(b"".join(line for line in lines if not line.startswith(b"=")), validate=True)
    except binascii.Error as error:
        raise ValueError(f"the key's armour is damaged ({error})") from error


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """RFC 4880 section 4.2: tag and body of each packet, both formats of its header."""
    at = 0
    while at < len(data):
        head = data[at]
        if not head & 0x80:
            raise ValueError("this is no OpenPGP key")
        if head & 0x40:
            tag, (size, at) = head & 0x3F, _new_length(data, at + 1)
        else:
            width = 1 << (head & 3)
            if width == 8:
                raise ValueError("a packet of the key has no length")
            tag, size, at = (head >> 2) & 0xF, int.from_bytes(data[at + 1 : at + 1 + width], "big"), at + 1 + width
        if at + size > len(data):
            raise ValueError("the key is cut short")
        yield tag, data[at : at + size]
        at += size


def _new_length(data: bytes, at: int) -> tuple[int, int]:
    """RFC 4880 section 4.2.2: the length, and where the body begins."""
    octets = data[at : at + 5]
    if octets and octets[0] < 192:
        return octets[0], at + 1
    if len(octets) >= 2 and octets[0] < 224:
        return ((octets[0] - 192) << 8) + octets[1] + 192, at + 2
    if len(octets) == 5 and octets[0] == 255:
        return int.from_bytes(octets[1:], "big"), at + 5
    raise ValueError("a packet of the key has a length that keys do not have")
