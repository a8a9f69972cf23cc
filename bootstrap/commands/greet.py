"""What `make up` shows at its end: where the service is, where its key is, and one answer from the model."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import time
from typing import Any

import httpx

from slipway.errors import ServiceError, SlipwayError

QUESTION = "In one short sentence: what is the capital of France?"
COMPLETION_SECONDS = 60.0


def stack_outputs(stack: str) -> dict[str, Any]:
    """All outputs of a stack, secrets in clear. Raises SlipwayError when there is no such stack."""
    command = ["pulumi", "stack", "output", "--stack", stack, "--json", "--show-secrets"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SlipwayError(
            f"the outputs cannot be read: {done.stderr.strip()}", where=f"stack {stack}", fix="Run: make up"
        )
    outputs: dict[str, Any] = json.loads(done.stdout)
    return outputs


def ask(outputs: dict[str, Any], question: str = QUESTION) -> tuple[str, float]:
    """One chat completion through the public endpoint: the answer, and how many seconds it took.

    Verifies the endpoint against the stack's own CA. Raises ServiceError when there is no answer.
    """
    context = ssl.create_default_context(cadata=outputs["ca_certificate"])
    body = {
        "model": outputs["model"],
        "messages": [{"role": "user", "content": question}],
        "max_tokens": 48,
        "temperature": 0,
    }
    started = time.monotonic()
    try:
        answer = httpx.post(
            f"{outputs['endpoint']}/chat/completions",
            json=body,
            headers={"Authorization": f"Bearer {outputs['api_key']}"},
            verify=context,
            timeout=COMPLETION_SECONDS,
        ).raise_for_status()
        text = str(answer.json()["choices"][0]["message"]["content"]).strip()
    except (httpx.HTTPError, KeyError, IndexError, ValueError) as error:
        raise ServiceError(
            f"no completion: {error}", where=outputs["endpoint"], fix="Look at `pulumi refresh`, then run: make up"
        ) from None
    return text, time.monotonic() - started


def main(stack: str = "local") -> None:
    """Print the greeting to standard output."""
    outputs = stack_outputs(stack)
    answer, seconds = ask(outputs)
    lines = [
        "",
        f"  endpoint  {outputs['endpoint']}   ({outputs['model']}, release {outputs['release']})",
        "  API key   pulumi stack output api_key --show-secrets --stack " + stack + '   (after: eval "$(make env)")',
        "",
        f"  you       {QUESTION}",
        f"  model     {answer}   ({seconds:.1f} s)",
        "",
    ]
    sys.stdout.write(os.linesep.join(lines) + "\n")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:2])
    except SlipwayError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
