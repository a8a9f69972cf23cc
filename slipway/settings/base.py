"""Types that the sections of a stack file share."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from slipway.units import BadValueError, quoted

NAMESPACE = "slipway"

HOST_KEY_TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._:/-]*@sha256:[0-9a-f]{64}")


class Section(BaseModel):
    """Base of every section: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def _host_name(text: str) -> str:
    if _LABEL.fullmatch(text) is None:
        fix = "Use lower-case letters, digits and hyphens, at most 63, such as gpu-1"
        raise BadValueError(f"{quoted(text)} is no host name", fix)
    return text


def _address(text: str) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        labels = text.removesuffix(".").split(".")
        looks_numeric = all(label.isdigit() for label in labels)
        if looks_numeric or len(text) > 253 or not all(_LABEL.fullmatch(label.lower()) for label in labels):
            fix = "Write an IP address or a DNS name, without a scheme, user or port"
            raise BadValueError(f"{quoted(text)} is no address", fix) from None
    return text


def _cidr(text: str) -> str:
    fix = "Write addresses as CIDR, such as 192.0.2.0/24, or one address"
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise BadValueError(f"{quoted(text)} is no range of addresses", fix) from None
        what = f"{quoted(text)} is one address of a range, with the length of the range"
        one = f"{text.split('/', maxsplit=1)[0]}/{network.max_prefixlen}"
        raise BadValueError(what, f"Write {network}, or {one}") from None


def _url(schemes: tuple[str, ...], text: str) -> str:
    fix = f"Write a URL such as {schemes[0]}://example.com:4318"
    try:
        parts = urlsplit(text)
        valid = parts.scheme in schemes and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid or not text.isprintable() or " " in text:
        raise BadValueError(f"{quoted(text)} is no {' or '.join(schemes)} URL", fix)
    if "@" in parts.netloc:
        fix = "Use a URL without credentials; the stack file would show them"
        raise BadValueError("the URL holds a user name or a password", fix)
    return text


def _http_url(text: str) -> str:
    return _url(("https", "http"), text)


def _host_key(text: str) -> str:
    fields = text.split()
    fix = "Copy the line that `ssh-keyscan -t ed25519 ADDRESS` prints, from its key type on"
    if len(fields) not in (2, 3) or fields[0] not in HOST_KEY_TYPES:
        raise BadValueError(f"{quoted(text)} is no OpenSSH public key of a host", fix)
    try:
        blob = base64.b64decode(fields[1], validate=True)
    except (binascii.Error, ValueError):
        blob = b""
    name = fields[0].encode()
    if not blob.startswith(len(name).to_bytes(4, "big") + name):
        raise BadValueError(f"the key after {fields[0]} is cut off or damaged", fix)
    return text


def _image_reference(text: str) -> str:
    if _IMAGE.fullmatch(text) is None:
        fix = "Write it by digest, repository@sha256:… ; a tag may move between two hosts of one rollout"
        raise BadValueError(f"{quoted(text)} does not pin an image", fix)
    return text


def _absolute(text: str) -> str:
    if not text.startswith("/") or not text.isprintable() or ".." in text.split("/"):
        raise BadValueError(f"{quoted(text)} is no absolute path", "Write it from / on, without ..")
    return text


def _url_path(text: str) -> str:
    if re.fullmatch(r"/[A-Za-z0-9._~/-]*", text) is None:
        raise BadValueError(f"{quoted(text)} is no URL path", 'Write it from / on, such as "/health"')
    return text


def _argument(text: str) -> str:
    if not text or not text.isprintable():
        raise BadValueError(
            f"{quoted(text)} holds nothing, or a character that is not printable", "Write one argument an item"
        )
    return text


Count = Annotated[int, Field(strict=True, ge=1)]
CountOrNone = Annotated[int, Field(strict=True, ge=0)]
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
HostName = Annotated[str, AfterValidator(_host_name)]
Address = Annotated[str, AfterValidator(_address)]
Cidr = Annotated[str, AfterValidator(_cidr)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
HostKey = Annotated[str, AfterValidator(_host_key)]
ImageReference = Annotated[str, AfterValidator(_image_reference)]
AbsolutePath = Annotated[str, AfterValidator(_absolute)]
UrlPath = Annotated[str, AfterValidator(_url_path)]
Argument = Annotated[str, AfterValidator(_argument)]
