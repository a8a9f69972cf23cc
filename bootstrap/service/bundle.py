"""A bundle: the files and units of a service as one thing that is swapped in whole, and back when its gate fails.

On a host `<bundles>/<service>/` (0700) holds `current`, `previous` and, while one is being sent, `next`. Each has a
`manifest.json`, which carries no content, a `hash`, and the contents under `files/` with their modes and owners.
"""

from __future__ import annotations

import hashlib
import io
import json
import posixpath
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import ValidationError

from bootstrap.service.layout import BUNDLES, UNITS, bundles_path, unit_path
from bootstrap.session import quote
from slipway.desired import HostFile, ServiceDesired, Unit
from slipway.errors import ServiceError


@dataclass(frozen=True)
class Manifest:
    """What a bundle holds, without the contents: `digests` are hex SHA-256 by path; `hash` covers all of it."""

    service: ServiceDesired
    digests: dict[str, str]

    @classmethod
    def of(cls, desired: ServiceDesired) -> Manifest:
        digests = {file.path: hashlib.sha256(file.content.encode()).hexdigest() for file in desired.files}
        bare = tuple(file.model_copy(update={"content": ""}) for file in desired.files)
        return cls(desired.model_copy(update={"files": bare}), digests)

    @classmethod
    def parse(cls, text: str) -> Manifest | None:
        """The manifest in `text`; None where there is none, or one of another version of Slipway."""
        try:
            data = json.loads(text)
            return cls(ServiceDesired.model_validate(data["service"]), dict(data["digests"]))
        except (ValueError, KeyError, TypeError, ValidationError):
            return None

    @property
    def text(self) -> str:
        """Canonical JSON on one line."""
        return json.dumps({"service": self.service.model_dump(mode="json"), "digests": self.digests}, sort_keys=True)

    @property
    def hash(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def files(self) -> tuple[HostFile, ...]:
        return self.service.files

    @property
    def units(self) -> tuple[Unit, ...]:
        return self.service.units

    def depends_on(self, unit: Unit) -> tuple[str, ...]:
        """Paths whose change restarts `unit`: its own unit file and what it names."""
        return (unit_path(unit.name), *unit.restart_on)

    def unit_digest(self, unit: Unit) -> str:
        """Changes when `unit` must be restarted: content, mode or owner of what it depends on, or its model's bytes."""
        files = {file.path: file for file in self.files}
        seen: list[object] = [
            (path, self.digests[path], files[path].mode, files[path].owner)
            for path in self.depends_on(unit)
            if path in files
        ]
        if self.service.model and self.is_engine(unit):
            seen.append(self.service.model.sha256)
        return hashlib.sha256(json.dumps(seen).encode()).hexdigest()

    def is_engine(self, unit: Unit) -> bool:
        return bool(set(unit.ports) & {urlsplit(url).port for url in self.service.gate.engines})

    def takes_traffic(self, unit: Unit) -> bool:
        """Whether requests go through `unit`: an engine, or the proxy."""
        return self.is_engine(unit) or urlsplit(self.service.gate.proxy).port in unit.ports


def check_secrets(host: str, desired: ServiceDesired, api_key: str) -> None:
    """Refuses a bundle that would put the API key into a file that everybody on the host can read."""
    for file in desired.files:
        if api_key and api_key in file.content and (not file.secret or file.mode & 0o137):
            raise ServiceError(
                f"{file.path} holds the API key but is not a secret file of mode 0640 or less",
                where=host,
                fix="Mark it `secret` with mode 0640 in its template.",
            )


def pack(desired: ServiceDesired, manifest: Manifest) -> bytes:
    """The bundle as a tar archive, the same bytes for the same bundle."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in (("manifest.json", manifest.text + "\n"), ("hash", manifest.hash + "\n")):
            _add(archive, name, content.encode(), 0o600, "root:root")
        for file in desired.files:
            _add(archive, "files/" + file.path.lstrip("/"), file.content.encode(), file.mode, file.owner)
    return stream.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int, owner: str) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    user, _, group = owner.partition(":")
    # a number stands for itself; a name is looked up by tar on the host
    info.uid, info.uname = (int(user), "") if user.isdigit() else (0, user)
    info.gid, info.gname = (int(group), "") if group.isdigit() else (0, group or user)
    archive.addfile(info, io.BytesIO(content))


def unpack_script(service: str) -> str:
    """Reads a packed bundle from standard input into `next`."""
    folder = quote(bundles_path(service))
    return (
        f"set -e; mkdir -p {BUNDLES}; umask 077; mkdir -p {folder}/started; chmod 700 {folder}; rm -rf {folder}/next; "
        f"mkdir {folder}/next; tar -x -p -C {folder}/next -f -"
    )


def rotate_script(service: str, serving: str | None) -> str:
    """Makes `next` the current bundle. The one in service, if it is another, becomes `previous`; a bundle that never
    passed its gate is dropped. May be run again after it died anywhere."""
    folder = quote(bundles_path(service))
    return (
        f"cd {folder} || exit 1; [ -d next ] || exit 1; new=$(cat next/hash); old=$(cat current/hash 2>/dev/null)\n"
        f'if [ -n "$old" ] && [ "$old" = {quote(serving or "none")} ] && [ "$old" != "$new" ]; then '
        f"rm -rf previous; mv current previous || exit 1; fi\n"
        f"rm -rf current; mv next current"
    )


def back_script(service: str, serving: str) -> str:
    """Makes the bundle `serving` current again: it is `previous`, unless an earlier try got that far already."""
    folder = quote(bundles_path(service))
    return (
        f"cd {folder} || exit 1; rm -rf next\n"
        f'if [ "$(cat current/hash 2>/dev/null)" != {serving} ]; then '
        f'[ "$(cat previous/hash)" = {serving} ] && rm -rf current && mv previous current; fi'
    )


def swap_script(service: str, changed: Iterable[HostFile], obsolete: Iterable[str], directories: Iterable[str]) -> str:
    """Puts changed files of the current bundle into place, each whole at once, and removes obsolete ones."""
    source = quote(f"{bundles_path(service)}/current/files")
    lines = ["set -e", *(f"rm -f {quote(path)}" for path in obsolete)]
    lines += [f"[ -d {quote(path)} ] || mkdir -p -m 0755 {quote(path)}" for path in directories]
    for file in changed:
        path = quote(file.path)
        lines.append(f"mkdir -p {quote(posixpath.dirname(file.path))}")
        # not the times: the bundle's are those of no real change
        lines.append(f"cp --preserve=mode,ownership {source}{path} {path}.slipway-new")
        lines.append(f"mv -f {path}.slipway-new {path}")
    return "\n".join(lines)


def is_unit_file(path: str) -> bool:
    return path.startswith(f"{UNITS}/")
