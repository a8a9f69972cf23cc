"""Takes a service off its host. Model files stay: they are large, and the next service may want them."""

from __future__ import annotations

import threading

from bootstrap.drain import cut_off, drain_script, drain_seconds, undrain_script
from bootstrap.log import Log
from bootstrap.service.bundle import Manifest, is_unit_file
from bootstrap.service.layout import bundles_path, record_path
from bootstrap.service.state import read_state
from bootstrap.service.units import STOP_DEADLINE, remove_script
from bootstrap.session import Command, Session, quote
from bootstrap.waits import Waits
from slipway.desired import ServiceDesired


def remove_service(
    session: Session,
    desired: ServiceDesired,
    log: Log,
    cancel: threading.Event,
    *,
    waits: Waits | None = None,
) -> None:
    """Drains, stops and disables units, removes containers, files, empty directories, bundles and the record.

    What the host's own bundles name goes too, whatever `desired` says by now. May be called again after it failed
    anywhere, and on a host that never had the service. Raises `HostError` or `CancelledError`.
    """
    waits = waits or Waits(cancel)
    state = read_state(session, desired)
    bundles = (Manifest.of(desired), *state.manifests)
    units = tuple({unit.name: unit for manifest in bundles for unit in manifest.units}.values())
    paths = dict.fromkeys(file.path for manifest in bundles for file in manifest.files)
    directories = {path for manifest in bundles for path in manifest.service.directories}
    serves = any(state.unit(unit.name).running for unit in desired.units)
    waits.check(session.name)
    log.info(f"{session.name}: removing service {desired.name}")
    lines = [drain_script(desired.drain)] if serves else []
    lines += [
        remove_script(units),
        # the flag goes with the service; a later one on this host starts undrained
        undrain_script(desired.drain),
        *(f"rm -f {quote(path)}" for path in paths),
        *(f"rmdir {quote(path)} 2>/dev/null" for path in sorted(directories, key=len, reverse=True)),
        "systemctl daemon-reload" if any(map(is_unit_file, paths)) else ":",
        f"rm -rf {quote(bundles_path(desired.name))}",
        f"rm -f {quote(record_path(desired.name))}",
    ]
    deadline = 120 + drain_seconds(desired.drain) + STOP_DEADLINE * len(units)
    script = "\n".join(lines)
    result = session.run(Command(script, f"remove service {desired.name}", deadline=deadline, stream=serves))
    if cut := cut_off(result.stdout):
        log.warning(f"{session.name}: {cut} requests were cut off after {desired.drain.deadline:.0f} s")
