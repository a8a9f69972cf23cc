"""What a model takes in memory, and how much is left for requests."""

from slipway.memory.fit import fit, kv_request_bytes
from slipway.memory.types import Fit, Setup, Term

__all__ = ["Fit", "Setup", "Term", "fit", "kv_request_bytes"]
