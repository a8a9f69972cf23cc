"""How fast hosts of a stack reach each other: zeros from one to another, a pair at a time, with what is on every Debian
and Ubuntu host: bash, dd, timeout and perl-base. Nothing is installed or left there.

The one that receives listens for a few seconds on a port that nothing else has, hears whoever says a word that only the
one that sends was told, throws away what it reads, and counts. A firewall in between makes that no answer at all.
"""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

from bootstrap.facts.measures import COPIED
from bootstrap.session import Command, Result, Session
from slipway.desired import Connection
from slipway.doctor.measured import Throughput
from slipway.errors import HostError

PAIRS = 4
"""at most, spread over the fleet: one after the other, so that none takes from another"""
MIB = 256
SECONDS = 2
"""a pair takes whichever is first"""
REACHING = 3
"""seconds in which the one that sends tries to reach the other, which listens a second longer"""
PORTS = range(61000, 65536)
"""above those that Linux gives to connections (net.ipv4.ip_local_port_range), and free for anybody's use (RFC 6335)"""
DEADLINE = 30.0
TIMED_OUT = (124, 137)
"""exit statuses of timeout(1): a firewall that drops packets lets the one that sends wait"""

RECEIVE = rf"""command -v perl >/dev/null || {{ echo absent; exit 0; }}
export LC_ALL=C
exec perl -MIO::Socket::IP -e '
  my $word = <STDIN>;
  $SIG{{ALRM}} = sub {{ print "nobody\n"; exit 0 }};
  my $door = IO::Socket::IP->new(Listen => 4, LocalHost => $ENV{{HERE}}, LocalPort => $ENV{{PORT}}) or die "$@\n";
  alarm {REACHING + 1};
  while (my $from = $door->accept) {{
    my $said = "";
    while (length $said < length $word) {{ sysread($from, $said, 1, length $said) or last }}
    next if $said ne $word;
    alarm 0;
    close $door;
    open(STDIN, "<&", $from) or die "$!\n";
    open(STDERR, ">&", \*STDOUT) or die "$!\n";
    exec "timeout", "-k", "2", "-s", "INT", {SECONDS + 2}, "dd", "of=/dev/null", "bs=256k";
  }}'"""

SEND = rf"""export LC_ALL=C
exec timeout -k 1 {REACHING + SECONDS + 3} bash -c '
  read -r word
  SECONDS=0
  until {{ exec 3<>"/dev/tcp/$THERE/$PORT"; }} 2>/dev/null; do
    [ $SECONDS -lt {REACHING} ] || {{ echo closed; exit 0; }}
    sleep 0.1
  done
  echo "$word" >&3
  timeout -s INT {SECONDS} dd if=/dev/zero bs=256k count={MIB * 4} >&3 2>/dev/null
  echo sent'"""


def pairs(count: int) -> list[tuple[int, int]]:
    """Which hosts send to which, by number: each to the next, or as many as may be, spread.

    >>> pairs(1), pairs(2), pairs(3)
    ([], [(0, 1), (1, 0)], [(0, 1), (1, 2), (2, 0)])
    >>> pairs(100)
    [(0, 1), (25, 26), (50, 51), (75, 76)]
    """
    if count < 2:
        return []
    made = min(count, PAIRS)
    firsts = [index * count // made for index in range(made)]
    return [(first, (first + 1) % count) for first in firsts]


def measure_pairs(
    connections: Sequence[Connection],
    opened: Callable[[Connection], AbstractContextManager[Session]],
    tell: Callable[[str], None],
) -> dict[str, Throughput]:
    """What each host that was asked to send reached, by its name. After a pair between which nothing comes through, the
    others are not tried: a firewall is the same for all."""
    found: dict[str, Throughput] = {}
    chosen = pairs(len(connections))
    for number, (first, second) in enumerate(chosen, 1):
        tell(f"throughput between hosts: {number} of {len(chosen)} pairs")
        sender, receiver = connections[first], connections[second]
        found[sender.name] = measured = _measure(sender, receiver, opened)
        if measured.state == "closed":
            break
    return found


def _measure(
    sender: Connection, receiver: Connection, opened: Callable[[Connection], AbstractContextManager[Session]]
) -> Throughput:
    word, port = f"{secrets.token_hex(16)}\n".encode(), secrets.choice(PORTS)
    here = "::" if ":" in receiver.address else "0.0.0.0"  # noqa: S104  for seconds, and for one who knows the word
    listening = _command(RECEIVE, word, "let another host send zeros", HERE=here, PORT=str(port))
    sending = _command(SEND, word, f"send zeros to {receiver.name}", THERE=receiver.address, PORT=str(port))
    try:
        with opened(receiver) as ear, opened(sender) as mouth, ThreadPoolExecutor(1) as pool:
            heard = pool.submit(ear.run, listening)
            said = mouth.run(sending)
            return parsed(receiver.name, said, heard.result())
    except HostError as error:
        return Throughput(peer=receiver.name, state="failed", said=error.what)


def _command(script: str, word: bytes, why: str, **variables: str) -> Command:
    names = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
    return Command(f"export {names}\n{script}", why=why, stdin=word, deadline=DEADLINE, check=False)


def parsed(peer: str, said: Result, heard: Result) -> Throughput:
    """What the two of a pair printed, as a value. The one that receives counts: what the other wrote may still be on
    its way."""
    text = heard.stdout.strip()
    copied = COPIED.search(heard.stdout)
    if copied is not None:
        return Throughput(peer=peer, state="measured", received=int(copied[1]), seconds=float(copied[2]))
    if text == "absent":
        return Throughput(peer=peer, state="absent")
    if text == "nobody" and (said.stdout.strip() == "closed" or said.exit in TIMED_OUT):
        return Throughput(peer=peer, state="closed")
    why = said.output if said.exit else f"{peer} did not hear what was sent" if text == "nobody" else heard.output
    return Throughput(peer=peer, state="failed", said=(why or "nothing came back")[-200:])
