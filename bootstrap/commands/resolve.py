"""What apt would install for a release on its bare OS: the answer that `slipway lock` writes down."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bootstrap.commands.artifacts import artifacts
from bootstrap.facts.openpgp import fingerprints
from slipway.artifacts import BASES
from slipway.errors import ReleaseError
from slipway.releases import Release, Resolved
from slipway.releases.locks import named_packages
from slipway.releases.sources import paragraph

INSTALL = re.compile(r"^Inst (?P<name>\S+) (?:\[\S+\] )?\((?P<version>\S+) ")
LOCAL = Path("/")
"""this computer, which serves as the bare OS where it runs the release's"""
KEY_BYTES = 100_000
KEY_SECONDS = 30


def resolve_packages(release: Release, root: Path, sources: Sequence[str] = (), key: str = "") -> Resolved:
    """Ask apt inside the base tree, without touching it, for all that it would install, by group of the lock.

    NVIDIA's packages come from `sources` (`deb` lines or deb822 paragraphs) signed by `key`, or from the release's own
    archive, whose key is fetched and held against its fingerprint. Packages that the base has already are in the answer
    when the release names them. Raises ReleaseError when there is no base for the release's OS, another key than the
    release knows, or apt cannot resolve it.
    """
    tree = bare_tree(release, root)
    own = release.gpu_source
    if own is None:
        return _simulate(release, tree, [])
    paragraphs = tuple(map(paragraph, sources)) or (own.paragraph,)
    if not sources:
        key = key or _fetch(own.key_url, release)
    found = _fingerprint(key, release) if key else ""
    if not sources and found != own.key_fingerprint:
        raise ReleaseError(
            f"the key is {found}, and NVIDIA's is {own.key_fingerprint}",
            where=f"release {release.name}",
            fix="Take the archive's own key, or name another archive with --source",
        )
    with tempfile.TemporaryDirectory(prefix="slipway-lock-") as folder:
        options = scratch(Path(folder), tree, paragraphs, key, release)
        resolved = _simulate(release, tree, options)
    return replace(resolved, sources=paragraphs if sources else (), key=key, key_fingerprint=found)


def parse_install(text: str) -> dict[str, str]:
    """{package: version} of the `Inst` lines of a simulated apt-get run."""
    return {match["name"]: match["version"] for match in map(INSTALL.match, text.splitlines()) if match}


def preferences(release: Release) -> str:
    """apt preferences that hold everything of NVIDIA's on the release's versions, also what no release names.

    >>> from slipway.releases import load_release
    >>> print(preferences(load_release("r580-2026.11-debian-12")).splitlines()[1])
    Pin: version 580.159.03-*
    """
    gpu = release.gpu
    if gpu is None:
        return ""
    pins = (
        ("*nvidia* libcuda* libnvsdm*", f"{gpu.driver}-*"),
        (" ".join(sorted(gpu.toolkit.packages)), gpu.toolkit.version),
    )
    # The first entry that matches a package's version wins, and a version that no archive has changes nothing.
    return "\n".join(f"Package: {names}\nPin: version {version}\nPin-Priority: 1001\n" for names, version in pins)


def bare_tree(release: Release, root: Path) -> Path:
    """The release's OS with nothing on it: a base, or this computer. Raises ReleaseError when there is neither."""
    base = next((BASES[os] for os in release.os if os in BASES), None)
    if base is not None:
        return Path(artifacts(root).base(base))
    said = (LOCAL / "etc/os-release").read_text(encoding="utf-8")
    facts = dict(line.replace('"', "").split("=", 1) for line in said.splitlines() if "=" in line)
    if f"{facts.get('ID')}:{facts.get('VERSION_ID')}" in release.os:
        return LOCAL
    raise ReleaseError(
        f"no base on this machine is one of {', '.join(release.os)}",
        where=f"release {release.name}",
        fix=f"Lock it on such a host; bases here: {', '.join(BASES)}.",
    )


def _simulate(release: Release, tree: Path, options: list[str]) -> Resolved:
    """Versions by group, each only with what the ones before it do not have."""
    named: list[str] = []
    known: dict[str, str] = {}
    groups: dict[str, dict[str, str]] = {}
    for group, names in named_packages(release).items():
        named += [name for name in names if name not in named]
        found: dict[str, str] = {}
        if names:
            command = ["apt-get", "-s", "install", "--no-install-recommends", *named]
            found = parse_install(apt(tree, command, release, options))
            there = [name for name in names if name not in found and name not in known]
            if there:
                shown = apt(tree, ["dpkg-query", "-W", "-f", "${Package} ${Version}\\n", *there], release)
                found |= dict(line.split() for line in shown.splitlines())
        groups[group] = {name: version for name, version in sorted(found.items()) if name not in known}
        known |= groups[group]
    return Resolved(groups["packages"], groups["gpu"], groups["nvswitch"], groups["nvlink5"])


def scratch(folder: Path, tree: Path, paragraphs: Sequence[str], key: str, release: Release) -> list[str]:
    """apt's options for state of its own in `folder`: the tree's lists and sources, and NVIDIA's archive besides."""
    lists, parts, cache = folder / "lists", folder / "sources.list.d", folder / "cache"
    for path in (lists / "partial", parts, cache / "archives" / "partial"):
        path.mkdir(parents=True)
    for path in (tree / "var/lib/apt/lists").iterdir():
        if path.is_file() and path.name != "lock":
            (lists / path.name).symlink_to(path)
    for path in (tree / "etc/apt/sources.list", *(tree / "etc/apt/sources.list.d").glob("*")):
        if path.suffix in (".list", ".sources"):
            shutil.copy(path, parts / path.name)
    signed = ""
    if key:
        (folder / "key.asc").write_text(key, encoding="utf-8")
        signed = f"Signed-By: {folder / 'key.asc'}\n"
    ours = parts / "slipway-nvidia.sources"
    ours.write_text("\n".join(text + signed for text in paragraphs), encoding="utf-8")
    (folder / "preferences").write_text(preferences(release), encoding="utf-8")
    settings = {
        "Dir::State::lists": lists,
        "Dir::Cache": cache,
        "Dir::Etc::sourcelist": folder / "none",
        "Dir::Etc::sourceparts": parts,
        "Dir::Etc::preferences": folder / "preferences",
        "Dir::Etc::preferencesparts": folder / "none.d",
        # The folder is ours alone, and the user that apt fetches as could not read it.
        "APT::Sandbox::User": "root",
        "APT::Get::List-Cleanup": "0",
        "Acquire::Retries": "2",
    }
    (folder / "none.d").mkdir()
    options = [text for name, value in settings.items() for text in ("-o", f"{name}={value}")]
    # Only NVIDIA's archive is asked; the base's lists are as its builder got them.
    only = ["-o", f"Dir::Etc::sourcelist={ours}", "-o", f"Dir::Etc::sourceparts={folder / 'none.d'}"]
    apt(tree, ["apt-get", "update", "--error-on=any"], release, [*options, *only])
    return options


def _fingerprint(key: str, release: Release) -> str:
    where, fix = f"release {release.name}", "Export one key with: gpg --armor --export FINGERPRINT"
    try:
        found = fingerprints(key.encode())
    except ValueError as error:
        raise ReleaseError(f"the key cannot be read: {error}", where=where, fix=fix) from None
    if len(found) != 1:
        raise ReleaseError(f"the key's file has {len(found)} keys in it", where=where, fix=fix)
    return found[0]


def _fetch(url: str, release: Release) -> str:
    try:
        with urllib.request.urlopen(url, timeout=KEY_SECONDS) as answer:  # noqa: S310  an https address of the release's
            return str(answer.read(KEY_BYTES).decode("ascii", errors="replace"))
    except OSError as error:
        raise ReleaseError(
            f"the archive's key cannot be fetched from {url}: {error}",
            where=f"release {release.name}",
            fix="Lock it where that is within reach, or name a mirror: --source 'deb …' --key FILE",
        ) from error


def apt(
    tree: Path, command: list[str], release: Release, more: Sequence[str] = (), *, folder: Path | None = None
) -> str:
    """What apt-get or dpkg-query prints, working on `tree`. Raises ReleaseError with apt's own words."""
    options: Mapping[str, list[str]] = {
        "apt-get": ["-o", f"Dir={tree}", "-o", f"Dir::State::status={tree}/var/lib/dpkg/status"],
        "dpkg-query": [f"--admindir={tree}/var/lib/dpkg"],
    }
    program, *arguments = command
    line = [program, *options[program], *more, *arguments]
    done = subprocess.run(line, capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        said = [line for line in lines if line.startswith("E: ")][:2] or lines[-2:]
        raise ReleaseError(
            f"apt cannot resolve its packages: {' '.join(said)}",
            where=f"release {release.name}",
            fix="Correct the package names or sources, or build a base with newer lists: make clean-cache images",
        )
    return done.stdout
