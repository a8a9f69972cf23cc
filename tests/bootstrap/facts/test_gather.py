"""All facts travel in one command, and a fact that fails is an error."""

from __future__ import annotations

import subprocess

import pytest

from bootstrap.facts import FACTS, Fact, Query, compose, gather, split
from bootstrap.session import Command, Result
from bootstrap.testing import FakeSession
from slipway.errors import CommandError


def local_shell(command: Command) -> Result:
    """Runs the script here: it is read-only, and these tests give it facts of their own."""
    done = subprocess.run(["/bin/sh", "-c", command.script], capture_output=True, text=True, check=False)
    return Result(done.returncode, done.stdout, done.stderr)


def fact(name: str, script: str) -> Fact:
    return Fact(name, script, lambda text: {"users": {name: len(text)}})


def test_one_script_keeps_outputs_apart() -> None:
    facts = (fact("a", "echo one; echo warn >&2"), fact("b", "printf 'no newline'; exit 3"), fact("c", "true"))
    query = Query(packages=(("it's", "1"),), files=("/a b",))
    done = local_shell(Command(compose(facts, query, "--T"), "test"))
    assert split(done.stdout, done.stderr, "--T") == {
        "a": (0, "one\n", "warn"),
        "b": (3, "no newline", ""),
        "c": (0, "", ""),
    }


def test_output_that_looks_like_a_mark_is_no_mark() -> None:
    done = local_shell(Command(compose((fact("a", "echo '--X b'"),), Query(), "--T"), "test"))
    assert split(done.stdout, "", "--T") == {"a": (0, "--X b\n", "")}


def test_a_failing_fact_is_an_error_with_its_words() -> None:
    session = FakeSession(answers=[("", local_shell)])
    with pytest.raises(CommandError, match=r"h1: the fact 'bad' could not be read \(exit status 4\): because"):
        gather(session, (fact("bad", "echo because >&2; exit 4"),), Query())


def test_a_script_cut_short_is_an_error() -> None:
    session = FakeSession(answers=[("", Result(137, "", "Killed"))])
    with pytest.raises(CommandError, match="the fact 'system' could not be read"):
        gather(session, FACTS, Query())
    assert len(session.commands) == 1


def test_a_parser_that_fails_names_the_fact() -> None:
    bad = Fact("odd", "echo x", lambda text: {"users": {text: int(text)}})
    with pytest.raises(CommandError, match=r"the fact 'odd' could not be read \(ValueError"):
        gather(FakeSession(answers=[("", local_shell)]), (bad,), Query())
