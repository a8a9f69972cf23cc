"""Lets a service's traffic go before anything stops, and takes it back.

The wait runs on the host, in the same command as the change that it prepares: so a run that is cancelled while it
waits takes the flag back there, and one that is cancelled later finds the change made. Nothing is left drained and
unchanged.
"""

from __future__ import annotations

from bootstrap.session import quote
from slipway.desired import Drain

CUT_OFF = "cut off: "
"""opens the line that tells how many requests were still open at the deadline"""


def drain_script(settings: Drain) -> str:
    """Turns /ready to 503, lets load balancers see it, and waits until no request is in flight or the deadline.

    A host without the drain command has nothing to drain. Seconds are those since boot: a clock that is set meanwhile
    neither cuts requests off nor lets them hold the host for ever.
    """
    command, streams = quote(settings.command), quote(settings.streams_command)
    limit = int(settings.deadline)
    return f"""if [ -x {command} ]; then
  trap '{command} off; exit 143' HUP INT TERM
  {command} on || exit 1
  echo 'drained, {settings.settle:g} s for load balancers to see it'
  sleep {settings.settle:g}
  began=$(cut -d. -f1 /proc/uptime)
  while [ -x {streams} ] && open=$({streams}) && [ "${{open:-0}}" -gt 0 ]; do
    waited=$(($(cut -d. -f1 /proc/uptime) - began))
    if [ $waited -ge {limit} ]; then echo "{CUT_OFF}$open"; break; fi
    echo "draining: $open requests open, $waited s of {limit} s"
    sleep 0.5
  done
  trap '' HUP INT TERM
fi"""


def undrain_script(settings: Drain) -> str:
    """Turns /ready back to 200."""
    command = quote(settings.command)
    return f"[ ! -x {command} ] || {command} off"


def cut_off(output: str) -> str | None:
    """How many requests were cut off, from the output of a drain; None when all had ended."""
    return next((line.removeprefix(CUT_OFF) for line in output.splitlines() if line.startswith(CUT_OFF)), None)


def drain_seconds(settings: Drain) -> float:
    """The longest a drain takes."""
    return settings.settle + settings.deadline + 30
