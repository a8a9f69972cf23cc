"""Operations on packages: repair, sources, lists, the pinned set in one transaction, holds."""

from __future__ import annotations

import re
import shlex

from bootstrap.facts import Facts
from bootstrap.operations.gpu.archive import SOURCES_PATH as NVIDIA_SOURCES
from bootstrap.operations.step import SAVED, Put, Refusal, Run, Step, Steps
from bootstrap.operations.wanted import held, in_the_way, missing_headers, wanted
from bootstrap.session import Command
from slipway.desired import HostDesired, Package
from slipway.errors import PackageError

APT_LOG = "/var/log/slipway-apt.log"
TRANSACTION_DEADLINE = 3600.0
"""seconds: a driver's DKMS build took 6 minutes on 2 cores, and a slow mirror takes its own time"""
LISTS_DEADLINE = 600.0
SOURCES_PATH = "/etc/apt/sources.list.d/slipway"
RUNTIME = {"docker.io", "docker-ce", "containerd", "containerd.io", "runc"}
"""packages of a container runtime, by Debian and by Docker"""
UNATTENDED_PATH = "/etc/apt/apt.conf.d/52slipway"
FAMILIES = ("nvidia-", "libnvidia-", "cuda-", "libcuda", "firmware-nvidia-", "nvlsm", "datacenter-gpu-manager")
"""beginnings of names that belong to a GPU stack: those of an adopted driver are nobody's list"""

# confold: a package's question about a changed configuration file must neither wait nor take our file away.
OPTIONS = (
    "-q -y -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "
    "-o Acquire::Retries=2"
)
ENVIRONMENT = "DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l APT_LISTCHANGES_FRONTEND=none"


def transaction(command: str, why: str) -> Run:
    """A command that changes dpkg's state: once begun it must finish.

    `tee -p` keeps taking its output when our connection is gone, so that dpkg does not die of a broken pipe; the next
    run waits for its lock and goes on from what it made. The status passes around the pipe on descriptor 4.
    """
    script = (
        f"export {ENVIRONMENT}\nexec 3>&1\n"
        f"status=$({{ {{ {command} 2>&1 3>&- 4>&-; echo $? >&4; }} | tee -p -a {APT_LOG} >&3; }} 4>&1)\n"
        'exit "${status:-1}"'
    )
    return Run(
        Command(script, why, deadline=TRANSACTION_DEADLINE, stream=True, interruptible=False),
        apt=True,
    )


def install(packages: tuple[Package, ...], why: str, *, besides: tuple[str, ...] = ()) -> Run:
    """The one transaction that brings packages to their exact versions, up or down.

    `besides` are apt's own words for more: a name installs any version, a name with a trailing minus removes.
    """
    names = shlex.join([*(f"{package.name}={package.version}" for package in packages), *besides])
    return transaction(
        f"apt-get install {OPTIONS} --no-install-recommends --allow-downgrades --allow-change-held-packages {names}",
        why,
    )


def repair_dpkg(facts: Facts, desired: HostDesired) -> Steps:  # noqa: ARG001  one shape for all
    broken = sorted(name for name, package in facts.packages.items() if not package.installed)
    if not broken and not facts.dpkg_journal:
        return Steps("dpkg has no package half done")
    what = ", ".join(broken) or "its journal"
    why = f"an earlier run of dpkg was interrupted ({what})"
    return Steps(
        why,
        (
            transaction("dpkg --force-confdef --force-confold --configure -a", f"finish what dpkg began: {what}"),
            # A package whose unpacking broke off is not configured by the first; apt unpacks it again.
            transaction(f"apt-get install {OPTIONS} -f", "let apt put right what dpkg left"),
        ),
    )


def replace_sources(facts: Facts, desired: HostDesired) -> Steps:
    if not desired.apt_sources:
        return Steps("the host's own apt sources are kept")
    deb822 = [entry for entry in desired.apt_sources if ":" in entry.splitlines()[0].split(" ")[0]]
    lines = [entry for entry in desired.apt_sources if entry not in deb822]
    ours = {}
    if deb822:
        ours[f"{SOURCES_PATH}.sources"] = "\n\n".join(entry.strip() for entry in deb822) + "\n"
    if lines:
        ours[f"{SOURCES_PATH}.list"] = "".join(entry.strip() + "\n" for entry in lines)
    steps: list[Step] = [Put(path, text) for path, text in ours.items() if facts.files.get(path) != text]
    # NVIDIA's archives stand beside the host's own, whichever these are.
    others = [path for path in facts.sources if path not in ours and not (desired.gpu and path == NVIDIA_SOURCES)]
    if others:
        script = "set -e\n" + "\n".join(f"mv {shlex.quote(path)} {shlex.quote(path + SAVED)}" for path in others)
        steps.append(Run(Command(script, "put the host's own apt sources aside")))
    return Steps(
        "apt reads other sources than the release's" if steps else "apt reads the release's sources", tuple(steps)
    )


def _unknown(facts: Facts, desired: HostDesired) -> list[Package]:
    """Wanted packages that are neither installed as wanted nor known to apt in their wanted version."""
    return [
        package
        for package in wanted(facts, desired)
        if not _right(facts, package) and package.version not in facts.candidates.get(package.name, ())
    ]


def _right(facts: Facts, package: Package) -> bool:
    found = facts.packages.get(package.name)
    return found is not None and found.installed and found.version == package.version


def update_lists(facts: Facts, desired: HostDesired) -> Steps:
    unknown = _unknown(facts, desired)
    if not unknown:
        return Steps("apt knows every version that is wanted")
    # By default apt succeeds with half of its lists, and the package that is missing then gets the blame.
    command = Command(
        f"export {ENVIRONMENT}; apt-get update -q -o APT::Update::Error-Mode=any -o Acquire::Retries=2",
        "read the mirrors' lists",
        deadline=LISTS_DEADLINE,
        stream=True,
    )
    return Steps(f"apt does not know {unknown[0].name} {unknown[0].version}", (Run(command, apt=True),))


def require_versions(facts: Facts, desired: HostDesired) -> Steps:
    """Refuses before anything of the release is touched. The lists were read again before this: what is unknown now
    the mirrors do not have."""
    unknown = _unknown(facts, desired)
    if unknown:
        raise Refusal(
            PackageError,
            "; ".join(_missing(package, facts.candidates.get(package.name, ())) for package in unknown),
            "The mirrors moved on since the release was locked: run `slipway lock` for a set that they have, "
            "or point `apt_sources` at a mirror (a snapshot) that keeps these versions.",
        )
    return Steps("every version that is wanted is installed or can be had")


def stops_containers(facts: Facts, desired: HostDesired) -> bool:
    """Whether a package moves that the containers run on: Docker's daemon is restarted by its own package, and takes
    the units that require it with it; a driver's libraries no longer fit the module that is loaded."""
    gpu = {package.name for package in wanted(facts, desired)} - {package.name for package in desired.packages}
    moving = {package.name for package in wanted(facts, desired) if not _right(facts, package)}
    return bool(in_the_way(facts, desired) or moving & (gpu | RUNTIME))


def install_packages(facts: Facts, desired: HostDesired) -> Steps:
    packages = wanted(facts, desired)
    wrong = tuple(package for package in packages if not _right(facts, package))
    gone = in_the_way(facts, desired)
    missing = missing_headers(facts, desired)
    if not wrong and not gone and not missing:
        return Steps(f"all {len(packages)} packages are at their pinned versions")
    # All pinned names go in: apt then refuses a set that does not fit together, instead of moving a neighbour.
    names = ", ".join([*(f"{package.name} {package.version}" for package in wrong), *missing])
    why = f"{len(wrong)} of {len(packages)} packages are not at their pinned version"
    if missing:
        why += f"; the driver is built with {', '.join(missing)}, not there"
    if gone:
        why += f"; of another driver, and removed in the same transaction: {', '.join(gone)}"
    besides = (*missing, *(f"{name}-" for name in gone))
    return Steps(why, (install(packages, f"install {names or 'nothing new'}", besides=besides),))


def _missing(package: Package, versions: tuple[str, ...]) -> str:
    has = ", ".join(versions) if versions else "none at all"
    return f"the mirrors do not have {package.name} {package.version} (they have: {has})"


def hold_packages(facts: Facts, desired: HostDesired) -> Steps:
    ours = set(held(facts, desired))
    holds = {name for name, package in facts.packages.items() if package.hold}
    # Holds that a person set stay; those of an earlier release go.
    ours_before = set((facts.receipt or {}).get("held", ()))
    add, drop = sorted(ours - holds), sorted((ours_before & holds) - ours)
    steps: list[Step] = []
    if add:
        steps.append(
            Run(Command(f"apt-mark -q hold {shlex.join(add)}", "keep apt from moving what is pinned"), apt=True)
        )
    if drop:
        steps.append(
            Run(Command(f"apt-mark -q unhold {shlex.join(drop)}", "let go of what is no longer pinned"), apt=True)
        )
    return Steps(
        "holds are not those of the release" if steps else "exactly the release's packages are held", tuple(steps)
    )


def unattended_content(desired: HostDesired) -> str:
    """The file that keeps unattended-upgrades from moving pinned packages; it matches whole names as regular
    expressions. A driver whose userland it moved no longer fits its kernel module until the next boot."""
    names = "".join(f'  "^{re.escape(package.name)}$";\n'.replace("\\-", "-") for package in _by_name(desired))
    if desired.gpu is not None:
        names += "".join(f'  "^{family}.*$";\n' for family in FAMILIES)
    why = "// Written by Slipway: these packages move with a release only."
    return f"{why}\nUnattended-Upgrade::Package-Blacklist {{\n{names}}};\n"


def _by_name(desired: HostDesired) -> list[Package]:
    return sorted(desired.packages, key=lambda package: package.name)


def keep_from_unattended(facts: Facts, desired: HostDesired) -> Steps:
    content = unattended_content(desired)
    if facts.files.get(UNATTENDED_PATH) == content:
        return Steps("unattended-upgrades leaves the pinned packages alone")
    return Steps("unattended-upgrades could move pinned packages", (Put(UNATTENDED_PATH, content),))
