"""What a model takes in memory, and how much is left for requests."""

from slipway.memory.changes import changes
from slipway.memory.explain import explain
from slipway.memory.fit import fit, kv_request_bytes, kv_requests_bytes
from slipway.memory.possible import impossible, unsupported, weight_only
from slipway.memory.types import Fit, Setup, Term

__all__ = [
    "Fit",
    "Setup",
    "Term",
    "changes",
    "explain",
    "fit",
    "impossible",
    "kv_request_bytes",
    "kv_requests_bytes",
    "unsupported",
    "weight_only",
]
