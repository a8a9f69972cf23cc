"""The last lines of a unit: what its container said, or, where none came, what systemd says."""

from __future__ import annotations

from bootstrap.session import Command, Session, quote
from slipway.desired import Unit
from slipway.errors import CancelledError, HostError

LINES = 15


def tail(session: Session, unit: Unit, *, secret: str = "") -> str:
    """The last lines as a block that ends an error's text; empty where there are none. Raises no `HostError`."""
    journal = f"journalctl -u {quote(unit.name)} -n {LINES} -o cat --no-pager 2>/dev/null"
    script = journal
    if unit.container:
        # just after a restart the container is new and has said nothing yet; its next words say the same
        ask = f"docker logs --tail {LINES} {quote(unit.container)} 2>&1"
        script = (
            f'said=$({ask}) || said=; [ -n "$said" ] || {{ sleep 1; said=$({ask}) || said=; }}\n'
            f'if [ -n "$said" ]; then printf "%s\\n" "$said"; else {journal}; fi'
        )
    try:
        text = session.run(Command(script, f"read the last lines of {unit.name}", check=False)).stdout
    except CancelledError:
        raise
    except HostError:
        return ""
    if secret:
        text = text.replace(secret, "[secret]")
    lines = text.strip().splitlines()[-LINES:]
    name = unit.container or unit.name
    return "".join(f"\n  {line[:400]}" for line in (f"last lines of {name}:", *lines)) if lines else ""
