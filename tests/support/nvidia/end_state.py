"""What a host is after a run, without what no two runs have in common: to compare one end with another."""

from __future__ import annotations

import json
import threading
from typing import Any

from bootstrap.facts import FACTS, gather
from bootstrap.operations import query
from bootstrap.session import Command, Session
from bootstrap.waits import UNIT_START, Retry, Waits
from slipway.desired import HostDesired
from slipway.errors import VerifyError

_VOLATILE = ("moves", "disks", "ports", "locks", "candidates")
"""facts that tell of times, sizes and sockets that a kernel picks"""

# One-shot units of systemd's own come and go with timers; what is transient has no file.
_SCRIPT = r"""set -e
echo '== packages'; dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\n'
echo '== holds'; apt-mark showhold
echo '== unit files'; systemctl list-unit-files --plain --no-legend --state=enabled,disabled,masked | sort
echo '== units'; systemctl list-units --all --plain --no-legend --type=service --state=active,failed,activating \
  | awk '$1 !~ /^(user|user-runtime-dir|systemd-|apt-|dpkg-|e2scrub|fstrim|logrotate|man-db|run-)/ { print $1, $3, $4 }'
echo '== files'; find /etc /boot /lib/modules /usr/local /var/lib/slipway /var/run/cdi -xdev -type f \
  ! -path /var/lib/slipway/receipt.json -print0 | sort -z | xargs -0 sha256sum
echo '== drain'; cat /run/slipway/drain 2>/dev/null || true
echo '== module'; cat /sys/module/nvidia/version; nvidia-smi -L
"""


def end_state(session: Session, desired: HostDesired) -> dict[str, str]:
    """Section → text: the facts, the receipt, packages, holds, units, files, and whether the host is drained.

    Waits until systemd has started what it starts at boot. Raises a `HostError`.
    """
    waits = Waits(threading.Event())
    settled = Command("systemctl is-system-running; systemctl list-jobs --no-legend", "see what starts", check=False)

    def wait() -> None:
        state, *jobs = session.run(settled).stdout.splitlines() or [""]
        if state == "starting" or jobs not in ([], ["No jobs running."]):
            raise Retry(VerifyError(f"it is still {state}: {jobs}", where=session.name, fix="See its units."))

    waits.until(UNIT_START, wait)
    text = session.run(Command(_SCRIPT, "see what the host is", deadline=120)).stdout
    parts = [part.partition("\n") for part in f"\n{text}".split("\n== ")[1:]]
    facts = gather(session, FACTS, query(desired)).model_dump(mode="json")
    return {name: body for name, _, body in parts} | {
        "receipt": json.dumps(_without(facts.pop("receipt") or {}, "time", "boot_id"), indent=1, sort_keys=True),
        "facts": json.dumps(
            {
                **_without(facts, *_VOLATILE),
                "system": _without(facts["system"], "clock", "boot_id", "memory_available"),
                "driver": _without(facts["driver"], "moved"),
            },
            indent=1,
            sort_keys=True,
        ),
    }


def differences(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """Lines that only one of two end states has, each with its section."""
    found = []
    for name in sorted({*one, *other}):
        before, after = one.get(name, "").splitlines(), other.get(name, "").splitlines()
        found += [f"{name}: - {line}" for line in before if line not in after]
        found += [f"{name}: + {line}" for line in after if line not in before]
    return found


def _without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}
