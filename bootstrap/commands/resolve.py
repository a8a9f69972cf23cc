"""What apt would install for a release on its bare OS: the answer that `slipway lock` writes down."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from bootstrap.commands.artifacts import artifacts
from slipway.errors import ReleaseError
from slipway.releases import Release
from slipway.releases.locks import top_packages

BASES = {"debian:12": "bookworm"}
"""which base is the bare OS of a release"""

INSTALL = re.compile(r"^Inst (?P<name>\S+) (?:\[\S+\] )?\((?P<version>\S+) ")


def resolve_packages(release: Release, root: Path) -> dict[str, str]:
    """Ask apt inside the base tree, without touching it: {package: version} of all that it would install.

    Packages that the base has already are in the answer when the release names them. Raises ReleaseError when there is
    no base for the release's OS, or apt cannot resolve it.
    """
    base = next((BASES[os] for os in release.os if os in BASES), None)
    if base is None:
        raise ReleaseError(
            f"no base on this machine is one of {', '.join(release.os)}",
            where=f"release {release.name}",
            fix=f"Lock it on such a host; bases here: {', '.join(BASES)}.",
        )
    tree = Path(artifacts(root).base(base))
    named = top_packages(release)
    versions = parse_install(_apt(tree, ["apt-get", "-s", "install", "--no-install-recommends", *named], release))
    there = [name for name in named if name not in versions]
    if there:
        shown = _apt(tree, ["dpkg-query", "-W", "-f", "${Package} ${Version}\\n", *there], release)
        versions |= dict(line.split() for line in shown.splitlines())
    return dict(sorted(versions.items()))


def parse_install(text: str) -> dict[str, str]:
    """{package: version} of the `Inst` lines of a simulated apt-get run."""
    return {match["name"]: match["version"] for match in map(INSTALL.match, text.splitlines()) if match}


def _apt(tree: Path, command: list[str], release: Release) -> str:
    options: Mapping[str, list[str]] = {
        "apt-get": ["-o", f"Dir={tree}", "-o", f"Dir::State::status={tree}/var/lib/dpkg/status"],
        "dpkg-query": [f"--admindir={tree}/var/lib/dpkg"],
    }
    program, *arguments = command
    done = subprocess.run([program, *options[program], *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = " ".join(done.stderr.strip().splitlines()[-2:])
        raise ReleaseError(
            f"apt cannot resolve its packages: {last}",
            where=f"release {release.name}",
            fix="Correct the package names, or build a base with newer lists: make clean-cache images",
        )
    return done.stdout
