"""The `slipway` command: the core's commands with the effects that they need.

Each effect imports what it uses when it is called, so that `slipway --help` answers at once.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.cli import Effects, build_app
from slipway.paths import RELEASES

if TYPE_CHECKING:
    from slipway.cli.effects import Doctor
    from slipway.cli.status import HostStatus
    from slipway.plan import BuiltImage
    from slipway.releases import Lock, Release, Resolved

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Run the command line, in the folder of a project."""
    own = Path(RELEASES)
    if own.is_dir():
        from slipway.releases import add_releases

        add_releases(own)
    build_app(effects())()


def effects() -> Effects:
    """The real effects."""
    return Effects(
        read_text=lambda path: Path(path).read_text(encoding="utf-8"),
        write_text=_write_text,
        resolve_packages=_resolve_packages,
        write_bundle=_write_bundle,
        # Images of a recipe are pinned by that recipe, not by what one computer built of it: docs/adr/0002.
        image_digests=dict,
        built_images=_built_images,
        templates=_templates,
        read_start=_read_start,
        host_statuses=_host_statuses,
        list_folder=_list_folder,
        now=lambda: datetime.now(UTC),
        doctor=_doctor,
    )


def _write_text(path: str, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")


def _resolve_packages(release: Release, sources: tuple[str, ...], key: str) -> Resolved:
    from bootstrap.commands.resolve import resolve_packages

    return resolve_packages(release, ROOT, sources, key)


def _write_bundle(release: Release, lock: Lock, path: str) -> int:
    from bootstrap.commands.bundle import write_bundle

    return write_bundle(release, lock, ROOT, Path(path))


def _built_images() -> Mapping[str, BuiltImage]:
    from bootstrap.commands.artifacts import artifacts

    return artifacts(ROOT).images


def _templates(folder: str) -> Mapping[str, str]:
    from slipway.render import load_templates

    return load_templates(ROOT / "templates" / folder)


def _read_start(path: str, limit: int) -> tuple[bytes, int]:
    from bootstrap.commands.model_files import read_start

    return read_start(path, limit)


def _host_statuses(stack: str, every: float | None) -> Iterator[Sequence[HostStatus]]:
    from bootstrap.commands.status import host_statuses

    return host_statuses(stack, every)


def _doctor() -> Doctor:
    from bootstrap.commands.doctor import doctor

    return doctor(ROOT)


def _list_folder(path: str) -> tuple[str, ...]:
    from bootstrap.commands.model_files import list_folder

    return list_folder(path)
