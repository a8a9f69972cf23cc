"""The five questions that are enough to start with: one for each criterion by which a CPU or a GPU is chosen."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import typer

from slipway.cli import workload_options as options
from slipway.errors import SizingError


def on_terminal() -> bool:
    """Whether somebody is there to answer."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def ask(model: str | None) -> tuple[str, dict[str, Any]]:
    """Model and workload from answers; Enter leaves one to be assumed, except the model."""
    typer.echo("Five questions; Enter leaves a value to be assumed, and what is assumed is said.")
    while not model:
        model = _answer("Model: a Hugging Face repository id, a folder or a GGUF file", str.strip)
    latency = _answer("How long may the first token take? 2s; 0 if nobody waits", _wait)
    return model, {
        "mode": "batch" if latency == "0" else None,
        "first_token": latency if latency != "0" else None,
        "requests_per_second": _answer(
            "Requests a second in the busiest hour?", lambda text: options.rate("that", text)
        ),
        "idle_share": _answer(
            "Share of the hours without any request? Such as 40%", lambda text: options.share("that", text)
        ),
        "complexity": _answer("How much running gear can the team look after? low, medium or high", _complexity),
    }


def _answer(question: str, parse: Callable[[str], Any]) -> Any:
    """What `parse` makes of the answer; None of an empty one. Asks again where it refuses."""
    while True:
        text = typer.prompt(question, default="", show_default=False).strip()
        if not text:
            return None
        try:
            return parse(text)
        except SizingError as error:
            typer.echo(f"  {error.what}. {error.fix}", err=True)


def _wait(text: str) -> str | None:
    return "0" if text in ("0", "0s") else options.duration("that", text)


def _complexity(text: str) -> str:
    found = [name for name in ("low", "medium", "high") if name.startswith(text.lower())]
    if len(found) != 1:
        raise SizingError(f"{text!r} is neither of them", where="that", fix="Answer low, medium or high")
    return found[0]
