"""What of a service is no longer as it was put on its host."""

from __future__ import annotations

from collections.abc import Iterator

from bootstrap.service.bundle import Manifest
from bootstrap.service.state import ServiceState, iso, read_state
from bootstrap.session import Session
from bootstrap.verify import Drift
from slipway.desired import ServiceDesired


def read_service(session: Session, desired: ServiceDesired) -> tuple[Drift, ...]:
    """One round trip. An empty tuple when files, units, images, model and the health of each engine are right.

    Raises `HostError` when the host cannot be asked: that is no drift.
    """
    return tuple(find_drift(Manifest.of(desired), read_state(session, desired, health=True)))


def find_drift(manifest: Manifest, state: ServiceState) -> Iterator[Drift]:
    service = manifest.service
    since = iso(state.recorded)
    if state.record is None:
        yield Drift("service", f"{service.name} of release {service.release}", "no record of it on the host")
    elif state.record.position != "serving":
        yield Drift("service", "serving", state.record.position, since)
    elif state.record.release != service.release:
        yield Drift("release", service.release, state.record.release, since)
    yield from _files(manifest, state)
    for unit in manifest.units:
        live = state.unit(unit.name)
        if not live.running:
            how = live.active if not live.status else f"{live.active}, exit status {live.status}"
            yield Drift(f"unit {unit.name}", "active", how)
        if not live.starts_by_itself:
            yield Drift(f"unit {unit.name}", "enabled", live.enabled or "not there")
        elif live.running and state.started.get(unit.name) != manifest.unit_digest(unit):
            yield Drift(f"unit {unit.name}", "started with its files as planned", "started with others")
    for image in service.images:
        if image not in state.images:
            yield Drift(f"image {image}", "on the host", "missing")
    model = service.model
    if model and not state.model.matches(model):
        found = (
            "missing" if state.model.size is None else f"{state.model.size} bytes, {state.model.digest or 'unchecked'}"
        )
        yield Drift(f"model {model.path}", f"{model.size} bytes, {model.sha256}", found)
    for url, status in state.health.items():
        if status != 200:
            yield Drift(f"health {url}{service.gate.health_path}", "200", str(status) if status else "no answer")


def _files(manifest: Manifest, state: ServiceState) -> Iterator[Drift]:
    for file in manifest.files:
        live, digest, pin = state.files.get(file.path), manifest.digests[file.path], f"file {file.path}"
        if live is None:
            yield Drift(pin, "as rendered", "missing")
            continue
        since = iso(live.changed)
        if live.digest != digest and file.secret:
            # not even a digest: a short secret could be guessed from it
            yield Drift(pin, "as rendered", "changed", since)
        elif live.digest != digest:
            yield Drift(pin, f"sha256:{digest[:12]}", f"sha256:{live.digest[:12]}", since)
        if live.mode != file.mode:
            yield Drift(pin, f"mode {file.mode:04o}", f"mode {live.mode:04o}", since)
        if file.owner not in live.owners:
            yield Drift(pin, f"owner {file.owner}", f"owner {min(live.owners)}", since)
