"""One question over HTTPS, and what stands in place of its answer. Credentials go into headers, and nowhere else."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import httpx

from bootstrap.waits import Waits
from slipway.doctor.types import NoAnswer

T = TypeVar("T")

DEADLINE = 15.0
"""seconds for one answer"""
ATTEMPTS = 3
LONGEST_PAUSE = 20.0
"""seconds: who asks to come back later than that gets no second question"""


class UnansweredError(Exception):
    """A question that got no answer; never leaves `answered`."""

    def __init__(self, answer: NoAnswer, *, missing: bool = False) -> None:
        """`missing`: there is no such thing (HTTP 404)."""
        super().__init__(answer.why)
        self.answer, self.missing = answer, missing


def answered(question: Callable[[], T]) -> T | NoAnswer:
    """What `question` returns, or why there is nothing: no connection, a refusal, or another shape than documented."""
    try:
        return question()
    except UnansweredError as error:
        return error.answer
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        why = f"what it answered is not what is documented ({type(error).__name__}: {error})"
        return NoAnswer(why, "Its interface may have changed: look there by hand")


def printed(command: Sequence[str], environ: Mapping[str, str], *, missing: str, deadline: float = DEADLINE) -> str:
    """What a program of the cloud's own prints as credentials. Raises UnansweredError; `missing` is what to do where
    there is no such program. Its output is shown to nobody."""
    name = command[0]
    try:
        done = subprocess.run(
            command,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=deadline,
            check=False,
        )
    except OSError as error:
        what = f"{name}, which brings the credentials, does not start: {error.strerror or error}"
        raise UnansweredError(NoAnswer(what, missing, "off")) from None
    except subprocess.TimeoutExpired:
        what = f"{name}, which brings the credentials, did not end within {deadline:.0f} s"
        raise UnansweredError(NoAnswer(what, "Run it by hand")) from None
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["no reason given"])[-1][:200]
        what = f"{name}, which brings the credentials, failed: {said}"
        raise UnansweredError(NoAnswer(what, "Log in as it says", "off"))
    return done.stdout


class Api:
    """A JSON interface at one base address. `name` is what messages call it."""

    def __init__(
        self, name: str, client: httpx.Client, waits: Waits, *, refused: str, refusals: Sequence[int] = (401,)
    ) -> None:
        """`refused` is what to do when the credentials are, which `refusals` say: HTTP status codes."""
        self.name, self._client, self._waits, self._refused = name, client, waits, refused
        self._refusals = tuple(refusals)

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """The JSON at `path`. Raises UnansweredError."""
        return self._send("GET", path, params=params)

    def post(self, path: str, body: Any) -> Any:
        """The JSON that answers `body`. Raises UnansweredError. For questions that are asked by POST only."""
        return self._send("POST", path, body=body)

    def form(self, path: str, data: Mapping[str, str]) -> Any:
        """The JSON that answers a form, as OAuth 2.0 has them. Raises UnansweredError."""
        return self._send("POST", path, data=data)

    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        data: Mapping[str, str] | None = None,
    ) -> Any:
        for left in range(ATTEMPTS - 1, -1, -1):
            try:
                response = self._client.request(method, path, params=params, json=body, data=data)
            except httpx.TimeoutException:
                raise UnansweredError(
                    NoAnswer(f"{self.name} did not answer within {DEADLINE:.0f} s ({path})", "Try again")
                ) from None
            except httpx.HTTPError as error:
                why = f"{self.name} is not reached: {_short(error)}"
                raise UnansweredError(NoAnswer(why, "Check the network, and that the address is right")) from None
            if response.status_code not in (429, 503):
                break
            pause = _seconds(response.headers.get("Retry-After", ""))
            if not left or pause > LONGEST_PAUSE:
                why = f"{self.name} asks to be left alone for now (HTTP {response.status_code} at {path})"
                raise UnansweredError(NoAnswer(why, f"Try again in {pause:.0f} s"))
            self._waits.pause(pause)
        self._judge(response, path)
        try:
            return response.json()
        except ValueError:
            why = f"{self.name} answered {path} with something that is no JSON"
            raise UnansweredError(NoAnswer(why, "A proxy in between may have answered: look there by hand")) from None

    def _judge(self, response: httpx.Response, path: str) -> None:
        code = response.status_code
        if code < 300:
            return
        said = _said(response)
        if code in self._refusals:
            raise UnansweredError(NoAnswer(f"{self.name} refuses the credentials{said}", self._refused, "off"))
        if code == 403:
            what = f"the credentials may not ask {path}{said}"
            raise UnansweredError(NoAnswer(what, "Give them the permission to read that"))
        if code == 404:
            raise UnansweredError(NoAnswer(f"{self.name} has no {path}{said}", "Look there by hand"), missing=True)
        raise UnansweredError(NoAnswer(f"{self.name} answered {path} with HTTP {code}{said}", "Try again later"))


def _seconds(text: str) -> float:
    """Retry-After as seconds (RFC 9110, section 10.2.3); as a date, or missing, it is taken for five."""
    return float(text) if text.strip().isdigit() else 5.0


def _short(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


def _said(response: httpx.Response) -> str:
    """The message of an error, in the shapes that clouds have: problem+json, {"error": …}, {"message": …}."""
    try:
        body = response.json()
    except ValueError:
        return ""
    if not isinstance(body, dict):
        return ""
    error = body.get("error")
    inner = error if isinstance(error, dict) else body
    for key in ("title", "error_message", "message", "error_description"):
        if isinstance(inner.get(key), str):
            return f": {json.dumps(inner[key], ensure_ascii=False)[1:-1][:200]}"
    return ""
