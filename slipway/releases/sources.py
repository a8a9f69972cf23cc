"""apt sources that somebody names."""

from __future__ import annotations

import re

from slipway.errors import ReleaseError

FIELDS = {"arch": "Architectures", "trusted": "Trusted", "check-valid-until": "Check-Valid-Until"}
"""options of one-line sources by their field of deb822: sources.list(5)"""


def paragraph(source: str) -> str:
    """A source as a deb822 paragraph: as it is, or out of `deb [options] URI suite component…`.

    Raises `ReleaseError` for another line, and for an option that has no place here, such as signed-by.

    >>> print(paragraph("deb [trusted=yes] file:/srv/bundle ./"), end="")
    Types: deb
    URIs: file:/srv/bundle
    Suites: ./
    Trusted: yes
    """
    if re.match(r"(?i)types:", source.lstrip()):
        return source.strip() + "\n"
    match = re.fullmatch(r"deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)((?:\s+\S+)*)", source.strip())
    if match is None:
        fix = "Write it like: deb https://mirror.example/cuda/ubuntu2404/x86_64/ /"
        raise ReleaseError(f"{source.strip()[:100]!r} is no apt source", where="--source", fix=fix)
    options, uri, suite, components = match.groups()
    lines = ["Types: deb", f"URIs: {uri}", f"Suites: {suite}"]
    if components.strip():
        lines.append(f"Components: {' '.join(components.split())}")
    for option in (options or "").split():
        name, _, value = option.partition("=")
        if name not in FIELDS:
            fix = "Leave it out; the key is given with --key" if name == "signed-by" else "Leave it out"
            raise ReleaseError(f"the option {name[:40]!r} of an apt source is not known", where="--source", fix=fix)
        lines.append(f"{FIELDS[name]}: {value}")
    return "\n".join(lines) + "\n"


def trusted(source: str) -> bool:
    """Whether a paragraph says that its archive needs no signature, as an offline bundle's does."""
    return re.search(r"(?im)^trusted:\s*yes\s*$", source) is not None
