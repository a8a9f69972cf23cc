"""llama.cpp's server, on the CPU or on GPUs.

Flags: https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
"""

from __future__ import annotations

from slipway.desired import Image
from slipway.engine_facts import LLAMA_CPP
from slipway.models import ResolvedModel
from slipway.plan_types import EnginePlan
from slipway.settings import Settings
from slipway.units import MIB

ALL_LAYERS = 999
"""more layers than any model has"""


def engine_plan(settings: Settings, model: ResolvedModel, image: Image) -> EnginePlan:
    """`--ctx-size` is what all slots share, so that each of `concurrency` requests gets the model's whole context."""
    engine, slots = settings.engine, settings.proxy.concurrency
    threads = cpu_threads(settings)
    kv = LLAMA_CPP.kv_dtypes[engine.kv_dtype] if engine.kv_dtype != "auto" else None
    argv = [
        *("--model", model.path),
        *("--alias", model.name),
        *("--host", "127.0.0.1", "--port", "{port}"),
        *("--ctx-size", str(model.context * slots), "--parallel", str(slots)),
        *("--n-gpu-layers", str(ALL_LAYERS if engine.gpus else 0)),
        # The server keeps up to 8 GiB of old prompts in memory by default, which a small host does not have.
        *("--cache-ram", "0"),
        *(("--cache-type-k", kv, "--cache-type-v", kv) if kv else ()),
        *(("--threads", str(threads)) if threads else ()),
        *("--metrics", "--no-webui"),
        *engine.args,
    ]
    return EnginePlan(
        name=engine.name,
        image=image,
        argv=tuple(argv),
        env=dict(engine.env),
        gpus_per_replica=engine.tensor_parallel if engine.gpus else 0,
        shm_bytes=engine.shm if engine.shm is not None else 64 * MIB,
        stop_seconds=LLAMA_CPP.stop_seconds,
        metrics=dict(LLAMA_CPP.metrics),
    )


def cpu_threads(settings: Settings) -> int | None:
    """Threads of one replica. Where we know the CPUs, replicas share them; each would take all of them by default."""
    if settings.engine.threads is not None:
        return settings.engine.threads
    if settings.provider == "local":
        return max(1, settings.local.cpus // settings.engine.replicas)
    return None
