"""The workload: what a model is to do, for how many, how fast. Durations are seconds, lengths tokens."""

from slipway.workload.assumptions import assume
from slipway.workload.requests import Requests, read_requests
from slipway.workload.types import Assumption, Complexity, FullWorkload, Lengths, Served, Workload

__all__ = [
    "Assumption", "Complexity", "FullWorkload", "Lengths", "Requests", "Served", "Workload", "assume", "read_requests",
]  # fmt: skip
