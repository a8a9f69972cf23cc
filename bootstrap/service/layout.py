"""Where a service keeps its things on a host, and how a probe's answer is cut into parts."""

from __future__ import annotations

SERVICES = "/var/lib/slipway/services"
"""one record a service: `<name>.json`"""

BUNDLES = "/var/lib/slipway/bundles"
"""one folder a service, mode 0700, with the bundles `current`, `previous`, `next` and the folder `started`"""

UNITS = "/etc/systemd/system"

NEEDS_CURL = "command -v curl >/dev/null || { echo 'curl is not installed; the release should name it' >&2; exit 127; }"
"""said at once, since every check would otherwise wait for its deadline"""

MARK = "@@slipway "
"""opens a part of a probe's answer; no program on the way prints it"""


def record_path(service: str) -> str:
    return f"{SERVICES}/{service}.json"


def bundles_path(service: str) -> str:
    return f"{BUNDLES}/{service}"


def unit_path(unit: str) -> str:
    return f"{UNITS}/{unit}"


def part(name: str) -> str:
    """One line of shell that opens the part `name`, on a line of its own whatever was printed before."""
    return f"printf '\\n%s\\n' '{MARK}{name}'"


def parts(text: str) -> dict[str, str]:
    """The parts of a probe's answer by name, without the blank lines around them."""
    found: dict[str, str] = {}
    for chunk in text.split(f"\n{MARK}")[1:]:
        name, _, body = chunk.partition("\n")
        found[name.strip()] = body.strip("\n")
    return found
