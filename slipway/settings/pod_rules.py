"""Rules about the pods of a node pool: whether the model has room on their GPUs, and on how many nodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from slipway.engine_facts import FACTS
from slipway.models import catalogue
from slipway.settings.finding import Finding, engine_is_open
from slipway.settings.resolving import gpu_of
from slipway.settings.sections import Settings
from slipway.units import MIB, about_bytes

OVER_NODES = ("vllm", "sglang")
"""engines that spread a replica over nodes. llama.cpp has an RPC backend, "fragile and insecure" to its own makers:
https://github.com/ggml-org/llama.cpp/blob/master/tools/rpc/README.md"""


def several_nodes(settings: Settings) -> Iterator[Finding]:
    engine, nodes = settings.engine, settings.cluster.nodes_per_replica
    if settings.kind != "node-pool" or nodes == 1 or engine_is_open(settings):
        return
    where, used = ("cluster", "nodes_per_replica"), (("engine", "name"), ("engine", "gpus"))
    if engine.name not in OVER_NODES:
        what = f"{engine.name} is not spread over nodes here"
        yield Finding(where, what, "Use vllm or sglang, or take it out", used)


def weights_fit(settings: Settings) -> Iterator[Finding]:
    """Weights alone, without what requests need: `slipway fit` says the rest."""
    engine, known = settings.engine, catalogue().get(settings.model.name)
    size, gpu = settings.model.size or (known.size if known else 0), gpu_of(settings)
    if settings.kind != "node-pool" or settings.gpu is not None or gpu is None or not size:
        return
    share = engine.memory_fraction or FACTS[engine.name].memory_fraction or 1.0
    each, nodes = gpu.usable_mib * MIB * share, settings.cluster.nodes_per_replica
    if size <= each * engine.tensor_parallel * nodes:
        return
    used = (("model", "size"), ("engine",), ("cluster", "nodes_per_replica"), ("pool", "labels"))
    of = f"{engine.tensor_parallel} × {gpu.name}" + (f" on each of {nodes} nodes" if nodes > 1 else "")
    have = about_bytes(round(each * engine.tensor_parallel * nodes))
    what = f"the weights of {about_bytes(size)} do not fit {of}, which have {have} for them"
    if size <= each * engine.gpus * nodes:
        need = min(n for n in range(1, engine.gpus + 1) if size <= each * n * nodes)
        fix = f"Write {need} or more of the {engine.gpus} GPUs of a node"
        yield Finding(("engine", "tensor_parallel"), what, fix, used)
        return
    fix = "Take nodes with more GPUs or larger ones"
    if engine.name in OVER_NODES:
        need = math.ceil(size / (each * engine.gpus))
        fix = f"Write {need} or more, with engine.tensor_parallel: {engine.gpus}; or take nodes with more GPUs"
    yield Finding(("cluster", "nodes_per_replica"), what, fix, used)


RULES: tuple[Callable[[Settings], Iterator[Finding]], ...] = (several_nodes, weights_fit)
