"""What of a service waits for a maintenance window."""

from __future__ import annotations

from bootstrap.service.state import ServiceState
from slipway.desired import ServiceDesired


def waiting(desired: ServiceDesired, state: ServiceState) -> str | None:
    """The first thing of `desired` that a host begins with only while a window is open; None where there is none.

    That is another model, or another image of the release that it serves with: of another release the host itself has
    waited. A first install, a change that has begun or failed, and the way back to the bundle before this one do not
    wait, nor does any other setting.
    """
    record, current, previous = state.record, state.current, state.previous
    if record is None or current is None or record.position != "serving" or record.release != desired.release:
        return None
    if previous is not None and _served(previous.service) == _served(desired):
        return None
    if current.service.model != desired.model:
        return "another model"
    return "another image" if set(current.service.images) != set(desired.images) else None


def _served(service: ServiceDesired) -> object:
    return service.model, set(service.images)
