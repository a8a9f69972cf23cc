"""`slipway:driver`: where the driver of GPU hosts comes from, and how their GPUs are set."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from slipway.settings.base import Section
from slipway.units import BadValueError, quoted

KEY_BEGIN, KEY_END = "-----BEGIN PGP PUBLIC KEY BLOCK-----", "-----END PGP PUBLIC KEY BLOCK-----"


def _public_key(text: str) -> str:
    key = text.strip()
    if not key.startswith(KEY_BEGIN) or not key.endswith(KEY_END):
        what = "this is no armoured public key" if "PRIVATE" not in key else "this is a private key"
        raise BadValueError(what, "Write what `gpg --armor --export FINGERPRINT` prints, all of it")
    return key + "\n"


def _fingerprint(text: str) -> str:
    digits = text.replace(" ", "").upper()
    if re.fullmatch(r"[0-9A-F]{40}", digits) is None:
        fix = "Write all 40 hex digits; the last 8 or 16 of them name other keys as well"
        raise BadValueError(f"{quoted(text)} is no fingerprint", fix)
    return digits


def _profile(text: str) -> str:
    if re.fullmatch(r"[1-7]g\.[0-9]{1,3}gb", text) is None:
        fix = "Write it as `nvidia-smi mig -lgip` lists it, such as 1g.10gb; those with +me and the like are not taken"
        raise BadValueError(f"{quoted(text)} is no MIG profile", fix)
    return text


Profile = Annotated[str, AfterValidator(_profile)]
PublicKey = Annotated[str, AfterValidator(_public_key)]
Fingerprint = Annotated[str, AfterValidator(_fingerprint)]


class DriverSettings(Section):
    """NVIDIA's driver on the hosts, and how their GPUs are set. Versions are the release's."""

    mode: Literal["pin", "adopt", "none"] = "pin"
    """pin: install the release's driver and hold it. adopt: the image brings it; verify that it is the release's, and
    hold it. none: the hosts have no GPUs."""
    mig: Profile | None = None
    """Profile that every GPU is cut into, such as 1g.10gb; a replica gets a slice. GPUs are left as they are when left
    out."""
    ecc: bool | None = None
    """Whether the memory of the GPUs corrects errors; left as it is when left out."""
    power_limit: Annotated[int, Field(strict=True, ge=1, le=5000)] | None = None
    """Watts that a GPU may draw; its own default when left out."""
    sources: tuple[str, ...] = ()
    """apt sources of NVIDIA's packages in place of the release's: a mirror, a local archive, an offline bundle.
    One-line `deb` entries or deb822 paragraphs."""
    key: PublicKey | None = None
    """Public key of those sources, ASCII-armoured."""
    key_fingerprint: Fingerprint | None = None
    """Fingerprint of that key, 40 hex digits; hosts refuse another one."""
