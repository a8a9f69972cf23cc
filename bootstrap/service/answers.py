"""What engines and the proxy answer, taken apart. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

LATER = {0, 429, 500, 502, 503, 504}
"""HTTP answers, and none at all (0), that may be another a moment later"""

PROMPT = "Say hello in one short sentence."
MAX_TOKENS = 16
"""enough for a sentence, and a second or so on the slowest machine"""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; status 0 is none at all."""

    status: int
    body: str = ""

    @classmethod
    def parse(cls, text: str) -> Answer:
        """What curl printed with `--write-out '\\n%{http_code}'`."""
        body, _, status = text.rstrip("\n").rpartition("\n")
        return cls(int(status) if status.isdigit() else 0, body)

    @property
    def data(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def words(self) -> str:
        """The answer in a few words, for a status line or an error."""
        if self.status == 0:
            return "no answer yet"
        data = self.data
        error = data.get("error") if isinstance(data, dict) else None
        message = error.get("message") if isinstance(error, dict) else error
        text = str(message) if message else " ".join(self.body.split())
        return f"HTTP {self.status}" + (f", {text[:160]}" if text else "")


def model_names(answer: Answer) -> tuple[str, ...]:
    """The ids in an answer of /v1/models."""
    data = answer.data
    rows = data.get("data") if isinstance(data, dict) else None
    return tuple(str(row["id"]) for row in rows if isinstance(row, dict) and "id" in row) if rows else ()


def completion_text(answer: Answer) -> str:
    """What the model said in an answer of /v1/chat/completions. Models that think first put it in another field, and
    sixteen tokens may not go beyond that."""
    try:
        message = answer.data["choices"][0]["message"]
        return next((text for key in ("content", "reasoning_content", "reasoning") if (text := message.get(key))), "")
    except (KeyError, IndexError, TypeError, AttributeError):
        return ""


def completion_request(model: str) -> str:
    """The body of a short chat request, always the same."""
    messages = [{"role": "user", "content": PROMPT}]
    return json.dumps({"model": model, "messages": messages, "max_tokens": MAX_TOKENS, "temperature": 0})
