"""How fast a setup serves a model, and how many requests it carries."""

from slipway.speed.curve import alone, capacity, curve
from slipway.speed.explain import explain
from slipway.speed.queueing import lead_utilisation, needed, replicas
from slipway.speed.roofline import communication_share, decode_step, prefill

__all__ = [
    "alone", "capacity", "communication_share", "curve", "decode_step", "explain", "lead_utilisation", "needed",
    "prefill", "replicas",
]  # fmt: skip
