"""A bundle against what is on the host: what to write, remove and restart. Pure; the probe did the reading."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bootstrap.service.bundle import Manifest, swap_script
from bootstrap.service.state import ServiceState
from bootstrap.service.units import forget_script, must_reload, remove_script, units_to_start
from slipway.desired import HostFile, Unit


@dataclass(frozen=True)
class Changes:
    """What stands between a host and a bundle."""

    manifest: Manifest
    files: tuple[HostFile, ...]
    """missing, or different in content, mode or owner"""
    directories: tuple[str, ...]
    obsolete_files: tuple[str, ...]
    """of bundles that were here, and that this one no longer has"""
    obsolete_units: tuple[Unit, ...]
    restart: tuple[Unit, ...]
    """in start order"""
    reload: bool
    """whether systemd has to read unit files again"""

    @classmethod
    def between(cls, manifest: Manifest, state: ServiceState, known: Iterable[Manifest]) -> Changes:
        """`known` are the bundles whose files and units may still lie on the host."""
        files = changed_files(manifest, state)
        known = tuple(known)
        paths = {file.path for file in manifest.files}
        names = {unit.name for unit in manifest.units}
        obsolete = tuple(dict.fromkeys(f.path for old in known for f in old.files if f.path not in paths))
        units = {unit.name: unit for old in known for unit in old.units if unit.name not in names}
        written = [file.path for file in files]
        return cls(
            manifest=manifest,
            files=files,
            directories=tuple(path for path in manifest.service.directories if path not in state.directories),
            obsolete_files=obsolete,
            obsolete_units=tuple(units.values()),
            restart=units_to_start(manifest, state, written),
            reload=must_reload(state, written, obsolete),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """What changes, in words for a report."""
        return (
            *(f"file {file.path}" for file in self.files),
            *(f"removed {path}" for path in self.obsolete_files),
            *(f"unit {unit.name}" for unit in self.restart),
        )

    @property
    def touch_traffic(self) -> bool:
        """Whether a unit that requests go through stops."""
        return any(self.manifest.takes_traffic(unit) for unit in (*self.restart, *self.obsolete_units))

    def script(self, rotate: str) -> str:
        """Makes the changes on disk, after `rotate` has made the bundle the current one. May be run again.

        What is obsolete goes first, while the bundle that knows of it is still there to tell a next run.
        """
        service = self.manifest.service.name
        return "\n".join(
            (
                forget_script(service, self.restart),
                remove_script(self.obsolete_units),
                f"( {rotate} ) || exit 1" if rotate else ":",
                swap_script(service, self.files, self.obsolete_files, self.directories),
            )
        )


def changed_files(manifest: Manifest, state: ServiceState) -> tuple[HostFile, ...]:
    """Files that are missing or differ in content, mode or owner."""
    return tuple(
        file
        for file in manifest.files
        if (live := state.files.get(file.path)) is None or not live.matches(file, manifest.digests[file.path])
    )


def is_converged(manifest: Manifest, state: ServiceState) -> bool:
    """Whether the host has all of the bundle, and it once passed its gate."""
    service, record = manifest.service, state.record
    return bool(
        record
        and record.position == "serving"
        and state.current
        and state.current.hash == manifest.hash
        and not changed_files(manifest, state)
        and not units_to_start(manifest, state, ())
        and all(state.unit(unit.name).starts_by_itself for unit in manifest.units)
        and not any(unit.reload for unit in state.units.values())
        and set(service.directories) <= state.directories
        and set(service.images) <= state.images
        and (service.model is None or state.model.matches(service.model))
    )
