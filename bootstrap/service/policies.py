"""The waits and retries of a service, by name, each with its reason. Deadlines that a plan knows better are given
where the policy is used."""

from __future__ import annotations

import tenacity

from bootstrap.waits import Policy

GATE = Policy(
    "GATE",
    "an engine answers seconds (a small model) to many minutes (hundreds of gigabytes) after its start; looks are "
    "cheap, so they start close together and the loss is at most two seconds",
    deadline=120,
    pause=tenacity.wait_exponential(multiplier=0.2, exp_base=1.5, max=2),
)
COMPLETION = Policy(
    "COMPLETION",
    "the proxy takes a check interval or two until it sends to an engine that just came up",
    deadline=60,
    pause=tenacity.wait_exponential(multiplier=0.2, exp_base=1.5, max=2),
)
TRANSFER = Policy(
    "TRANSFER",
    "a transfer runs on the host by itself; we look at how far it is",
    deadline=3600,
    pause=tenacity.wait_exponential(multiplier=0.1, exp_base=1.6, max=2),
)
DOWNLOAD = Policy(
    "DOWNLOAD",
    "connections break in the middle of gigabytes and stores answer 429 or 5xx for a while; each try goes on where "
    "the last one stopped, and only tries that brought nothing count",
    deadline=86_400,
    pause=tenacity.wait_exponential(multiplier=0.5, exp_base=2, max=30),
)
