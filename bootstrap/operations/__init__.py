"""What brings a host to a release: pure functions from facts and a wish to steps."""

from bootstrap.facts import Query
from bootstrap.operations import apt, docker, folders
from bootstrap.operations.step import Operation, Put, Refusal, Run, Send, Step, Steps
from slipway.desired import HostDesired

OPERATIONS: tuple[Operation, ...] = (
    Operation("dpkg-repair", apt.repair_dpkg, refresh=True),
    Operation("apt-sources", apt.replace_sources, refresh=True),
    Operation("apt-lists", apt.update_lists, refresh=True),
    Operation("versions", apt.require_versions),
    Operation("folders", folders.make_folders),
    # Before the packages: Docker's first start then has its settings, and needs no second one.
    Operation("unattended-upgrades", apt.keep_from_unattended),
    Operation("docker-config", docker.configure_docker),
    # dpkg forgets the hold of a package that it moves.
    Operation("packages", apt.install_packages, refresh=True),
    Operation("holds", apt.hold_packages),
    Operation("docker", docker.run_docker),
    Operation("images", docker.bring_images),
)
"""in the order in which they run"""


def query(desired: HostDesired) -> Query:
    """What the facts must be asked about for these operations."""
    return Query(
        packages=tuple((package.name, package.version) for package in desired.packages),
        files=(
            docker.CONFIG_PATH,
            apt.UNATTENDED_PATH,
            f"{apt.SOURCES_PATH}.sources",
            f"{apt.SOURCES_PATH}.list",
        ),
        directories=tuple(folders.FOLDERS),
    )


__all__ = ["OPERATIONS", "Operation", "Put", "Refusal", "Run", "Send", "Step", "Steps", "query"]
