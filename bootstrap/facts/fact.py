"""A fact, what it may ask for, and how the facts of a host become one script and one answer."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bootstrap.facts.model import Facts
from bootstrap.session import Command, Session
from slipway.errors import CommandError

GATHER_DEADLINE = 120.0
"""seconds: the script takes a fraction of one, but a host out of memory or I/O answers late"""


@dataclass(frozen=True)
class Query:
    """What the scripts need to know about what is wanted: they get it as shell variables, one item a line."""

    packages: tuple[tuple[str, str], ...] = ()
    files: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    gpu: bool = False
    """whether the facts that only hosts with GPUs have are asked for"""
    read: str = ""
    """a file to measure its disk by"""
    peers: tuple[str, ...] = ()
    """addresses to measure the network to"""

    def prelude(self) -> str:
        """Shell that sets WANTED, FILES, DIRECTORIES, UNITS, READ and PEERS, and reads dpkg's list once for all."""
        wanted = "\n".join(f"{name}\t{version}" for name, version in self.packages)
        return "\n".join(
            (
                f"WANTED={shlex.quote(wanted)}",
                f"FILES={shlex.quote(chr(10).join(self.files))}",
                f"DIRECTORIES={shlex.quote(chr(10).join(self.directories))}",
                f"UNITS={shlex.quote(' '.join(self.units))}",
                f"READ={shlex.quote(self.read)}; PEERS={shlex.quote(' '.join(self.peers))}",
                "TAB=$(printf '\\t'); NL='\n'",
                "PACKAGES=$(dpkg-query -W -f '${Package}\\t${Version}\\t${db:Status-Abbrev}\\n')",
            )
        )


@dataclass(frozen=True)
class Fact:
    """A read-only script and a pure parser of its output. `parse` returns fields of `Facts`."""

    name: str
    script: str
    parse: Callable[[str], dict[str, Any]]
    gpu: bool = False
    """asked only where the query says that GPUs are wanted"""


def compose(facts: Sequence[Fact], query: Query, token: str) -> str:
    """One script for all: each fact in a subshell, its output and its errors between lines that carry `token`."""
    parts = [query.prelude()]
    parts += [
        f"echo '{token} {fact.name}'; echo '{token} {fact.name}' >&2\n(\n{fact.script}\n)\n"
        f"printf '\\n{token} = %d\\n' $?"
        for fact in facts
    ]
    return "\n".join(parts)


def split(stdout: str, stderr: str, token: str) -> dict[str, tuple[int, str, str]]:
    """Name → (exit status, output, errors). A fact that the script never came to is absent."""
    errors: dict[str, str] = {}
    for part in stderr.split(f"{token} ")[1:]:
        name, _, text = part.partition("\n")
        errors[name] = text.strip()
    found: dict[str, tuple[int, str, str]] = {}
    name = ""
    for part in stdout.split(f"{token} ")[1:]:
        head, _, text = part.partition("\n")
        if head.startswith("= "):
            found[name] = (int(head[2:]), found[name][1].removesuffix("\n"), found[name][2])
        else:
            name = head
            found[name] = (-1, text, errors.get(name, ""))
    return found


def gather(session: Session, facts: Sequence[Fact], query: Query) -> Facts:
    """All `facts` in one round trip. A script or parser that fails is an error, never a value."""
    facts = [fact for fact in facts if query.gpu or not fact.gpu]
    token = f"--{secrets.token_hex(8)}"
    command = Command(
        compose(facts, query, token), why="read the facts of the host", deadline=GATHER_DEADLINE, check=False
    )
    result = session.run(command)
    answers = split(result.stdout, result.stderr, token)
    fields: dict[str, Any] = {}
    for fact in facts:
        status, output, errors = answers.get(fact.name, (-1, "", result.stderr.strip()))
        if status != 0:
            raise _unreadable(session.name, fact.name, f"exit status {status}", errors)
        try:
            fields.update(fact.parse(output))
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise _unreadable(session.name, fact.name, f"{type(error).__name__}: {error}", output[-300:]) from error
    return Facts.model_validate(fields)


def _unreadable(host: str, name: str, how: str, said: str) -> CommandError:
    return CommandError(
        f"the fact {name!r} could not be read ({how}){': ' + said if said else ''}",
        where=host,
        fix="Without it nothing can be said about the host. Put right what it says, then run `up` again.",
    )
