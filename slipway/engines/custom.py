"""An engine that the user brings: an image by digest, and arguments with places for what Slipway decides.

In the arguments, {port} is the replica's port, {model} the path of the model file, {name} the id clients ask for,
{context} the tokens of one request and {concurrency} the requests at once.
"""

from __future__ import annotations

from slipway.desired import Image
from slipway.engine_facts import CUSTOM
from slipway.models import ResolvedModel
from slipway.plan_types import EnginePlan
from slipway.settings import Settings
from slipway.units import MIB


def engine_plan(settings: Settings, model: ResolvedModel, image: Image) -> EnginePlan:
    """The engine has to listen on 127.0.0.1:{port} and to speak OpenAI's API under /v1."""
    engine = settings.engine
    places = {
        "{model}": model.path,
        "{name}": model.name,
        "{context}": str(model.context),
        "{concurrency}": str(settings.proxy.concurrency),
    }
    return EnginePlan(
        name=engine.name,
        image=image,
        argv=tuple(_filled(argument, places) for argument in engine.args),
        env=dict(engine.env),
        gpus_per_replica=engine.tensor_parallel if engine.gpus else 0,
        shm_bytes=engine.shm if engine.shm is not None else 64 * MIB,
        stop_seconds=CUSTOM.stop_seconds,
        health_path=engine.health_path or "/health",
        metrics_path=engine.metrics_path or "/metrics",
    )


def _filled(argument: str, places: dict[str, str]) -> str:
    for place, value in places.items():
        argument = argument.replace(place, value)
    return argument
