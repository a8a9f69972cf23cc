"""Engines: one module each, all of one shape, `engine_plan(settings, model, image) → EnginePlan`.

Each turns settings into the engine's arguments, probes, shared memory and stop time. What is known of an engine before
any settings (flags, metric names) is in `slipway.engine_facts`.
"""

from __future__ import annotations

from collections.abc import Callable

from slipway.desired import Image
from slipway.engines import custom, llama_cpp, sglang, vllm
from slipway.models import ResolvedModel
from slipway.plan_types import EnginePlan
from slipway.settings import Settings

Planner = Callable[[Settings, ResolvedModel, Image], EnginePlan]

PLANNERS: dict[str, Planner] = {
    "llama.cpp": llama_cpp.engine_plan,
    "vllm": vllm.engine_plan,
    "sglang": sglang.engine_plan,
    "custom": custom.engine_plan,
}


def engine_plan(settings: Settings, model: ResolvedModel, image: Image) -> EnginePlan:
    """How the chosen engine serves `model`."""
    return PLANNERS[settings.engine.name](settings, model, image)


__all__ = ["PLANNERS", "engine_plan"]
