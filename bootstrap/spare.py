"""Whether the rest of a fleet can do without one host, asked of the others before it lets its traffic go.

Waves keep a roll-out within what may be out of service at once. They do not know what is out for other reasons: a host
that could not be put back, one that somebody drained, one that is dead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bootstrap.log import Log
from bootstrap.serving import CA_CERTIFICATE, HOLD
from bootstrap.session import Command, Session, quote
from bootstrap.waits import SPARE, Retry, Waits
from slipway.errors import VerifyError

SERVES, NEVER_DID = "serves", "never did"
PROXY = "/etc/systemd/system/slipway-proxy.service"


@dataclass(frozen=True)
class Others:
    """Other hosts of a stack: `ask` says of each where it stands, `may_be_out` how many may be out of service."""

    ask: Callable[[], Mapping[str, str]]
    may_be_out: int
    patience: float = SPARE.deadline
    """seconds for them to come back"""


def standing(session: Session, ready: str) -> str:
    """`SERVES`, `NEVER_DID`, or why a host is out of service. `ready` is the URL of its proxy's readiness, on it."""
    script = (
        f"[ -e {PROXY} ] || {{ echo {quote(NEVER_DID)}; exit; }}\n"
        f"[ ! -e {HOLD} ] || {{ echo its engines are held; exit; }}\n"
        f"status=$(curl -q -s -o /dev/null -m 5 -w '%{{http_code}}' --cacert {CA_CERTIFICATE} {quote(ready)})\n"
        f'[ "$status" = 200 ] && echo {SERVES} || echo "its proxy says $status"'
    )
    return session.run(Command(script, "see whether the host serves", deadline=30)).stdout.strip()


def require_spare(session: Session, ready: str, others: Others | None, log: Log, waits: Waits) -> None:
    """Returns when the others can carry what this host lets go of. One that does not serve lets go of nothing.

    Raises `VerifyError` when more of them stay out of service than may be, after a while in which they could come back.
    A host on which nothing was ever installed is not out of service: the fleet does not count on it yet.
    """
    if others is None or standing(session, ready) != SERVES:
        return
    log.info(f"{session.name}: asking the other hosts whether they serve")

    def attempt() -> None:
        asked = others.ask()
        out = {name: where for name, where in asked.items() if where not in (SERVES, NEVER_DID)}
        if len(out) > others.may_be_out:
            most = f"at most {others.may_be_out}" if others.may_be_out else "none"
            raise Retry(
                VerifyError(
                    f"the fleet cannot spare it: of {len(asked)} other hosts {len(out)} are out of service, and {most} "
                    f"may be while it changes: {'; '.join(f'{name}: {where}' for name, where in out.items())}",
                    where=session.name,
                    fix="Bring them back (`slipway status` says where each stands), then run `pulumi up` again; or "
                    "allow more with slipway:rollout.max_unavailable.",
                )
            )

    def tell(error: Exception, waited: float) -> None:
        what = getattr(error, "what", str(error))
        log.progress(f"{session.name}: {what}; waiting ({waited:.0f} s of at most {others.patience:.0f} s)")

    waits.until(SPARE, attempt, deadline=others.patience, on_wait=tell)
