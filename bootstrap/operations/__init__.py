"""What brings a host to a release: pure functions from facts and a wish to steps."""

from bootstrap.facts import Facts, Query
from bootstrap.facts.driver import NOUVEAU_PATH
from bootstrap.operations import apt, docker, folders
from bootstrap.operations.gpu import archive, container, driver, refusals, settings
from bootstrap.operations.step import Operation, Put, Refusal, Run, Send, Step, Steps
from slipway.desired import HostDesired


def _always(facts: Facts, desired: HostDesired) -> bool:  # noqa: ARG001  one shape for all
    return True


OPERATIONS: tuple[Operation, ...] = (
    Operation("dpkg-repair", apt.repair_dpkg, refresh=True, stops_service=_always),
    Operation("gpu-refusals", refusals.refuse),
    Operation("apt-sources", apt.replace_sources, refresh=True),
    Operation("gpu-clean", archive.clean_archives),
    Operation("gpu-archive", archive.tie_archive, refresh=True),
    Operation("apt-lists", apt.update_lists, refresh=True),
    Operation("versions", apt.require_versions),
    Operation("folders", folders.make_folders),
    # Before the packages: Docker's first start then has its settings, and needs no second one.
    Operation("unattended-upgrades", apt.keep_from_unattended),
    Operation("docker-config", docker.configure_docker),
    Operation("gpu-nouveau", driver.keep_nouveau_off),
    # dpkg forgets the hold of a package that it moves.
    Operation("packages", apt.install_packages, refresh=True, stops_service=apt.stops_containers),
    Operation("holds", apt.hold_packages),
    Operation("gpu-build", driver.build_module, refresh=True),
    Operation("gpu-initramfs", driver.renew_initramfs),
    Operation("gpu-module", driver.load_module, refresh=True),
    Operation("gpu-persistence", settings.keep_persistence),
    Operation("gpu-fabric", settings.run_fabric, refresh=True, stops_service=_always),
    Operation("gpu-settings", settings.apply_settings, refresh=True, stops_service=_always),
    Operation("gpu-cdi", settings.renew_cdi, refresh=True),
    Operation("docker", docker.run_docker, stops_service=_always),
    Operation("images", docker.bring_images),
    Operation("gpu-container", container.see_gpus),
    Operation("gpu-measure", container.measure_gpus),
)
"""in the order in which they run"""


GPU_FILES = (
    archive.KEY_PATH,
    archive.SOURCES_PATH,
    archive.PREFERENCES_PATH,
    NOUVEAU_PATH,
    settings.PERSISTENCE_PATH,
    settings.SCRIPT_PATH,
    settings.SETTINGS_PATH,
)
"""files that operations on the GPU stack write"""


def query(desired: HostDesired) -> Query:
    """What the facts must be asked about for these operations."""
    gpu = desired.gpu
    packages = desired.packages
    if gpu is not None and gpu.mode == "pin":
        # Which of these the hardware asks for is among the answers.
        packages += gpu.packages + gpu.nvswitch_packages + gpu.nvlink5_packages
    return Query(
        packages=tuple((package.name, package.version) for package in packages),
        files=(
            docker.CONFIG_PATH,
            apt.UNATTENDED_PATH,
            f"{apt.SOURCES_PATH}.sources",
            f"{apt.SOURCES_PATH}.list",
            *(GPU_FILES if gpu else (settings.SCRIPT_PATH, settings.SETTINGS_PATH)),
        ),
        directories=tuple(folders.FOLDERS),
        units=settings.UNITS if gpu else (),
        gpu=gpu is not None,
    )


__all__ = ["OPERATIONS", "Operation", "Put", "Refusal", "Run", "Send", "Step", "Steps", "query"]
