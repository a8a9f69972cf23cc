"""What a converged host of the release is, as data for the peers: about fifteen steps, the same ones Slipway checks."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from bootstrap.facts.runtime import RECEIPT_PATH
from bootstrap.operations import apt, docker, folders
from slipway.desired import HostDesired


@dataclass(frozen=True)
class Steps:
    """One field for a step, or a list of steps of one kind."""

    os_id: str
    os_version: str
    folders: tuple[dict[str, str], ...]
    """path, mode, owner, group"""
    files: tuple[dict[str, str], ...]
    """path, content, mode"""
    packages: dict[str, str]
    """name → version: installed exactly so, and held"""
    service: str
    receipt: str

    @property
    def count(self) -> int:
        """Steps of a run: those above, and dpkg's audit, the holds, Docker's answer, no failed unit of Slipway's."""
        return 1 + len(self.folders) + len(self.files) + 1 + 1 + 1 + 4

    def as_data(self) -> dict[str, object]:
        return asdict(self)


def steps_of(desired: HostDesired) -> Steps:
    os_id, os_version = desired.os.split(":")
    made = []
    for path, kind in folders.FOLDERS.items():
        mode, owner = kind.split(" ")
        user, group = owner.split(":")
        made.append({"path": path, "mode": f"0{mode}", "owner": user, "group": group})
    return Steps(
        os_id=os_id,
        os_version=os_version,
        folders=tuple(made),
        files=(
            {"path": apt.UNATTENDED_PATH, "content": apt.unattended_content(desired), "mode": "0644"},
            {"path": docker.CONFIG_PATH, "content": docker.wanted_config(desired, None), "mode": "0644"},
        ),
        packages={package.name: package.version for package in desired.packages},
        service="docker",
        receipt=RECEIPT_PATH,
    )
