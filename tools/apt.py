"""The Debian archive as this machine knows it: read from its own apt sources, never named here.

Trees of any Debian release are built from the mirror that this machine already trusts and reaches. A machine whose own
sources are not Debian's (Ubuntu, say) names one in SLIPWAY_DEBIAN_MIRROR and SLIPWAY_DEBIAN_SECURITY_MIRROR.
"""

from __future__ import annotations

import email.utils
import os
import re
import shlex
import subprocess
import time
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from slipway.errors import SlipwayError

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
"""Of the package debian-archive-keyring, which Ubuntu has too."""

SUITES = frozenset(
    {
        "oldoldstable",
        "oldstable",
        "stable",
        "testing",
        "unstable",
        "bullseye",
        "bookworm",
        "trixie",
        "forky",
        "duke",
        "sid",
    }
)
"""Names of Debian releases: https://www.debian.org/releases/"""
UNSPLIT = frozenset({"testing", "unstable", "forky", "duke", "sid"})
"""Suites without an archive of security updates that would matter: fixes enter them directly."""


@dataclass(frozen=True)
class Source:
    """One entry of apt's sources: one URI, with all its suites."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""


@dataclass(frozen=True)
class Mirrors:
    """Base URIs of the Debian archive and of its security archive, None when the machine has none."""

    archive: str
    security: str | None


def parse_deb822(text: str) -> list[Source]:
    """Entries of a `.sources` file (deb822 paragraphs); disabled and source-only ones are left out."""
    found = []
    for paragraph in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        key = ""
        for line in paragraph.splitlines():
            if line.startswith("#") or not line.strip():
                continue
            if line[0].isspace():
                fields[key] = f"{fields.get(key, '')} {line.strip()}"
            else:
                name, _, value = line.partition(":")
                key = name.strip().lower()
                fields[key] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in {"no", "false"}:
            continue
        found += [
            Source(
                uri.rstrip("/"),
                tuple(fields.get("suites", "").split()),
                tuple(fields.get("components", "").split()),
                fields.get("signed-by", ""),
            )
            for uri in fields.get("uris", "").split()
        ]
    return found


def parse_list(text: str) -> list[Source]:
    """Entries of a one-line style `.list` file."""
    found = []
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[(?P<options>[^]]*)]\s*)?(?P<uri>\S+)\s+(?P<suite>\S+)\s*(?P<rest>[^#]*)", line)
        if match:
            options = dict(o.partition("=")[::2] for o in (match["options"] or "").split())
            found.append(
                Source(
                    match["uri"].rstrip("/"),
                    (match["suite"],),
                    tuple(match["rest"].split()),
                    options.get("signed-by", ""),
                )
            )
    return found


def read_sources(etc: Path = Path("/etc/apt")) -> list[Source]:
    """All entries of a machine's apt sources, in the order in which apt reads the files."""
    found: list[Source] = []
    main = etc / "sources.list"
    parts = sorted((etc / "sources.list.d").glob("*")) if (etc / "sources.list.d").is_dir() else []
    for path in [main, *parts]:
        if path.suffix == ".list" and path.is_file():
            found += parse_list(path.read_text())
        elif path.suffix == ".sources" and path.is_file():
            found += parse_deb822(path.read_text())
    return found


def find_mirrors(sources: Iterable[Source], environ: Mapping[str, str] = os.environ) -> Mirrors:
    """The Debian archive among the sources of a machine.

    Other archives use Debian's suite names too, so the entry must be signed by Debian's keyring or lie in a folder
    called `debian` (`debian-security`). Raises SlipwayError when there is none.
    """
    archive = environ.get("SLIPWAY_DEBIAN_MIRROR", "").rstrip("/")
    security = environ.get("SLIPWAY_DEBIAN_SECURITY_MIRROR", "").rstrip("/")
    for source in sources:
        folder = source.uri.rpartition("/")[2]
        if "main" not in source.components or not source.uri.startswith(("http://", "https://")):
            continue
        if "debian-archive" not in source.signed_by and not folder.startswith("debian"):
            continue
        for suite in source.suites:
            base = re.sub(r"-security$|/updates$", "", suite)
            if base != suite and base in SUITES:
                security = security or source.uri
            elif suite in SUITES:
                archive = archive or source.uri
    if not archive:
        raise SlipwayError(
            "no Debian archive is among this machine's apt sources",
            where="/etc/apt",
            fix="Name a mirror: export SLIPWAY_DEBIAN_MIRROR=<URL that has dists/ and pool/ below it>",
        )
    return Mirrors(archive, security or None)


def suite_lines(suite: str, mirrors: Mirrors, components: str = "main", *, now: float | None = None) -> list[str]:
    """The `deb` lines for a release of Debian, with its updates and security updates where it has such.

    A mirror that has stopped following (a snapshot, a lagging cache) serves a Release file past its own validity, which
    apt refuses. Only for such a suite, and only while it is so, the line says `check-valid-until=no`; signatures are
    checked all the same.
    """
    places = [(mirrors.archive, suite)]
    if suite not in UNSPLIT:
        places.append((mirrors.archive, f"{suite}-updates"))
        if mirrors.security:
            places.append((mirrors.security, f"{suite}-security"))
    lines = []
    for uri, name in places:
        option = "" if _is_valid(uri, name, time.time() if now is None else now) else " check-valid-until=no"
        lines.append(f"deb [signed-by={KEYRING}{option}] {uri} {name} {components}")
    return lines


def is_past_validity(release: str, now: float) -> bool:
    """Does this text of a Release file say that it was valid until a time before `now` (seconds since 1970)?"""
    match = re.search(r"^Valid-Until: (.+)$", release, re.MULTILINE)
    if match is None:
        return False
    return email.utils.parsedate_to_datetime(match[1].replace("UTC", "+0000")).timestamp() < now


def _is_valid(uri: str, suite: str, now: float) -> bool:
    url = f"{uri}/dists/{suite}/InRelease"
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310  http(s) only: see find_mirrors
            return not is_past_validity(answer.read(4096).decode(errors="replace"), now)
    except OSError as error:
        raise SlipwayError(
            f"the mirror does not answer ({error})", where=url, fix="Check the network, then run it again"
        ) from error


def proxy_options() -> list[str]:
    """apt's proxy settings of this machine, as `Acquire::http::Proxy "…";` lines for a tree's own configuration."""
    keys = {"H": "Acquire::http::Proxy", "S": "Acquire::https::Proxy"}
    pairs = [text for short, key in keys.items() for text in (short, key)]
    try:
        dump = subprocess.run(["apt-config", "shell", *pairs], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    found = dict(line.partition("=")[::2] for line in dump.splitlines())
    return [
        f'{key} "{shlex.split(found[short])[0]}";' for short, key in keys.items() if shlex.split(found.get(short, ""))
    ]
