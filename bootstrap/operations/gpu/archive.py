"""Where apt takes NVIDIA's packages from: one archive, with its key, and nothing else."""

from __future__ import annotations

import re
import shlex

from bootstrap.facts import Facts
from bootstrap.operations.step import SAVED, Put, Run, Step, Steps
from bootstrap.operations.wanted import wanted
from bootstrap.session import Command
from slipway.desired import GpuDesired, HostDesired
from slipway.releases.sources import trusted

SOURCES_PATH = "/etc/apt/sources.list.d/slipway-nvidia.sources"
KEY_PATH = "/etc/apt/keyrings/slipway-nvidia.asc"
PREFERENCES_PATH = "/etc/apt/preferences.d/00-slipway-nvidia"
"""first by name: of records that match a package, apt takes the first (apt_preferences(5))"""
PINNING_PACKAGE = "/etc/apt/preferences.d/nvidia-driver-pin"
"""NVIDIA's own pins, in packages that are wanted or are taken away as packages; all of them have the one file of this
name: `nvidia-driver-pinning-580` and `nvidia-driver-pinning-580.159.03` conflict"""

STALE_KEY = "AE09FE4BBD223A84B2CCFCE3F60F4B3D7FA2AF80"
"""of NVIDIA's CUDA archive until April 2022, revoked:
https://developer.nvidia.com/blog/updating-the-cuda-linux-gpg-repository-key/"""

_ARCHIVE = re.compile(
    r"developer\.download\.nvidia\.com|/compute/cuda/repos/|nvidia\.github\.io|/libnvidia-container/|graphics-drivers|"
    r"/var/(?:cuda-repo|nvidia-driver-local-repo)"
)
"""NVIDIA's archives, mirrors that keep their paths, local copies of them, and Ubuntu's PPA of drivers"""
_PREFERENCE = re.compile(r"nvidia|libcuda|cuda", re.IGNORECASE)
FAMILY_GLOBS = "nvidia-* libnvidia-* cuda-drivers* libcuda1 firmware-nvidia-*"
_OTHERS = {
    "nvidia": ("release o=Ubuntu", "release o=Debian", "release o=LP-PPA-graphics-drivers"),
    "ubuntu": ("release o=NVIDIA", "release o=LP-PPA-graphics-drivers"),
    "debian": ("release o=NVIDIA", "release o=LP-PPA-graphics-drivers"),
}
"""what else could give packages of these names, as the archives call themselves in their Release files"""


def clean_archives(facts: Facts, desired: HostDesired) -> Steps:
    gpu = desired.gpu
    if gpu is None or gpu.mode == "adopt":
        return Steps("apt's NVIDIA archives are left as they are")
    aside = [path for path, text in facts.archives.files.items() if _foreign(path, text)]
    aside += [path for path in facts.archives.keys if path != "/etc/apt/trusted.gpg"]
    lines = [f"mv {shlex.quote(path)} {shlex.quote(path + SAVED)}" for path in aside]
    stale = STALE_KEY in facts.archives.keys.get("/etc/apt/trusted.gpg", ())
    if stale:
        lines.append(f"apt-key --keyring /etc/apt/trusted.gpg del {STALE_KEY}")
    if not lines:
        return Steps("apt has no other archive, pin or key of NVIDIA's than the release's")
    what = [f"put aside {path}" for path in aside] + ["remove the revoked key 7fa2af80"] * stale
    why = f"one archive gives NVIDIA's packages: {'; '.join(what)}"
    return Steps(why, (Run(Command("set -e\n" + "\n".join(lines), "put other archives of NVIDIA's aside")),))


def _foreign(path: str, text: str) -> bool:
    if path in (SOURCES_PATH, PREFERENCES_PATH) or path.startswith(PINNING_PACKAGE):
        return False
    if "/preferences" in path:
        return _PREFERENCE.search(text) is not None
    return any(_ARCHIVE.search(entry) for entry in _entries(path, text))


def mixed_sources(facts: Facts) -> str | None:
    """A source list that has NVIDIA's archive and another one: it can be neither kept nor put aside."""
    for path, text in facts.archives.files.items():
        if path != SOURCES_PATH and "/preferences" not in path:
            ours = [bool(_ARCHIVE.search(entry)) for entry in _entries(path, text)]
            if any(ours) and not all(ours):
                return path
    return None


def _entries(path: str, text: str) -> list[str]:
    """The entries of a source list that count: lines, or paragraphs of deb822."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    if not path.endswith(".sources"):
        return [line for line in lines if line.strip()]
    paragraphs = [part for part in re.split(r"\n\s*\n", "\n".join(lines)) if part.strip()]
    return [part for part in paragraphs if not re.search(r"(?im)^enabled:\s*no", part)]


def sources_content(gpu: GpuDesired) -> str:
    """deb822, each paragraph signed by the pinned key alone, save those that are trusted as they are."""
    paragraphs = (
        source.strip()
        if re.search(r"(?im)^signed-by:", source) or (trusted(source) and not gpu.key)
        else f"{source.strip()}\nSigned-By: {KEY_PATH}"
        for source in gpu.sources
    )
    return "\n\n".join(paragraphs) + "\n"


def preferences_content(facts: Facts, desired: HostDesired) -> str:
    """Each pinned package at its version; the rest of the family from the pinned archive only."""
    gpu = desired.gpu
    if gpu is None:
        return ""
    ours = {package.name for package in desired.packages}
    records = [
        f"Package: {package.name}\nPin: version {package.version}\nPin-Priority: 1001"
        for package in sorted(wanted(facts, desired), key=lambda package: package.name)
        if package.name not in ours
    ]
    records += [f"Package: {FAMILY_GLOBS}\nPin: {pin}\nPin-Priority: -1" for pin in _OTHERS[gpu.archive]]
    return "# Written by Slipway: these packages move with a release only.\n" + "\n\n".join(records) + "\n"


def wanted_files(facts: Facts, desired: HostDesired) -> dict[str, str]:
    """Path → content of the files that tie apt to the pinned archive."""
    gpu = desired.gpu
    if gpu is None or gpu.mode == "adopt":
        return {}
    key = {KEY_PATH: gpu.key} if gpu.sources and gpu.key else {}
    files = key | ({SOURCES_PATH: sources_content(gpu)} if gpu.sources else {})
    return files | {PREFERENCES_PATH: preferences_content(facts, desired)}


def tie_archive(facts: Facts, desired: HostDesired) -> Steps:
    files = wanted_files(facts, desired)
    steps: list[Step] = [Put(path, text) for path, text in files.items() if facts.files.get(path) != text]
    if steps and desired.gpu and desired.gpu.sources:
        whose = f"with key {desired.gpu.key_fingerprint}" if desired.gpu.key else "that is trusted without a key"
        return Steps(f"apt is not tied to the archive {whose}", tuple(steps))
    return Steps("apt's pins are not the release's" if steps else "apt is tied to the pinned archive", tuple(steps))
