"""vLLM. The image's entrypoint is `vllm serve`, which takes the model as its first argument.

Flags: https://docs.vllm.ai/en/stable/cli/serve/
"""

from __future__ import annotations

import math

from slipway.desired import Image
from slipway.engine_facts import VLLM
from slipway.engines.flags import decided_flags
from slipway.engines.nodes import vllm_flags
from slipway.engines.shm import shm_bytes
from slipway.models import ResolvedModel
from slipway.plan_types import EnginePlan
from slipway.settings import Settings

STOP_MARGIN = 15
"""seconds from the end of the drain to a clean exit"""


def engine_plan(settings: Settings, model: ResolvedModel, image: Image) -> EnginePlan:
    """The memory share is always written: the default moved from 0.90 to 0.92 between versions."""
    engine = settings.engine
    several = engine.tensor_parallel * settings.cluster.nodes_per_replica > 1
    shutdown = math.ceil(settings.drain.deadline)
    argv = [
        model.load_path,
        *("--served-model-name", model.name),
        *("--host", "127.0.0.1", "--port", "{port}"),
        *("--max-model-len", str(model.context)),
        *("--max-num-seqs", str(settings.proxy.concurrency)),
        *("--tensor-parallel-size", str(engine.tensor_parallel)),
        *("--gpu-memory-utilization", f"{engine.memory_fraction or VLLM.memory_fraction:.2f}"),
        *vllm_flags(settings),
        *decided_flags(engine, VLLM),
        # The default is 0, which aborts running requests on SIGTERM.
        *("--shutdown-timeout", str(shutdown)),
        *engine.args,
    ]
    env = {
        "HF_HUB_OFFLINE": "1",
        "VLLM_CACHE_ROOT": "/cache/vllm",
        "TRITON_CACHE_DIR": "/cache/triton",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
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
        stop_seconds=shutdown + STOP_MARGIN,
        writable=("/cache",),
        metrics=dict(VLLM.metrics),
        worker_argv=("--headless",) if settings.cluster.nodes_per_replica > 1 else (),
    )
