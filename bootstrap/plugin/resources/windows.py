"""Maintenance windows, as an input of Host and Service."""

from __future__ import annotations

from datetime import UTC, datetime

from bootstrap.plugin.codec import UNKNOWN, Values, leaves
from bootstrap.plugin.resource import Failure, Input
from bootstrap.plugin.resources.validation import parse, problems

# Asked when a change that waits for them is to come; to open or close a window is nothing to do on a host.
INPUT = Input("windows", "array", "when it may be changed: slipway.desired.Window, each", required=False, quiet=True)


def window_failures(inputs: Values) -> list[Failure]:
    from slipway.desired import Window  # noqa: PLC0415  pydantic loads slowly

    windows = inputs.get("windows") or ()
    found = () if windows is UNKNOWN else enumerate(windows)
    return [problem for index, window in found for problem in problems(Window, window, ("windows", index))]


def closed(inputs: Values, now: float) -> str | None:
    """That no window is open at `now` (seconds since 1970), and when the next one opens; None where one is open, where
    there are none, and while they are not known."""
    from slipway.desired import Window  # noqa: PLC0415
    from slipway.windows import next_opening, open_until, opening_text  # noqa: PLC0415

    given = inputs.get("windows") or []
    if any(leaf is UNKNOWN for _, leaf in leaves(given)):
        return None
    windows, at = [parse(Window, window) for window in given], datetime.fromtimestamp(now, UTC)
    if not windows or open_until(windows, at) is not None:
        return None
    opening = next_opening(windows, at)
    when = f"the next opens {opening_text(opening)}" if opening else "none ever opens again"
    return f"no maintenance window is open; {when}"
