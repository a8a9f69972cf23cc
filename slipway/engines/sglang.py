"""SGLang. Its image has no entrypoint of its own, so the arguments start with the program.

Flags: https://docs.sglang.io/advanced_features/server_arguments.html
"""

from __future__ import annotations

from slipway.desired import Image
from slipway.engine_facts import SGLANG
from slipway.engines.flags import decided_flags
from slipway.engines.nodes import sglang_flags
from slipway.engines.shm import shm_bytes
from slipway.models import ResolvedModel
from slipway.plan_types import EnginePlan
from slipway.settings import Settings


def engine_plan(settings: Settings, model: ResolvedModel, image: Image) -> EnginePlan:
    """Metrics are off by default and are turned on. The memory share covers weights and KV cache, not activations."""
    engine = settings.engine
    several = engine.tensor_parallel * settings.cluster.nodes_per_replica > 1
    argv = [
        *("python3", "-m", "sglang.launch_server"),
        *("--model-path", model.load_path),
        *("--served-model-name", model.name),
        *("--host", "127.0.0.1", "--port", "{port}"),
        *("--context-length", str(model.context)),
        *("--max-running-requests", str(settings.proxy.concurrency)),
        *("--tp-size", str(engine.tensor_parallel)),
        *("--mem-fraction-static", f"{engine.memory_fraction or SGLANG.memory_fraction:.2f}"),
        *sglang_flags(settings),
        *decided_flags(engine, SGLANG),
        "--enable-metrics",
        *engine.args,
    ]
    env = {
        "HF_HUB_OFFLINE": "1",
        "TRITON_CACHE_DIR": "/cache/triton",
        "FLASHINFER_WORKSPACE_BASE": "/cache",
        **({"NCCL_DEBUG": "WARN"} if several else {}),
        **engine.env,
    }
    return EnginePlan(
        name=engine.name,
        image=image,
        argv=tuple(argv),
        env=env,
        gpus_per_replica=engine.tensor_parallel,
        shm_bytes=shm_bytes(engine),
        stop_seconds=SGLANG.stop_seconds,
        writable=("/cache",),
        metrics=dict(SGLANG.metrics),
    )
