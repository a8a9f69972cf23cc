"""What the engine, the proxy and an autoscaler should be told for one option, with the arithmetic of each value."""

from __future__ import annotations

import math
from dataclasses import replace

from slipway import speed
from slipway.advice.search import Candidate
from slipway.advice.texts import seconds, share
from slipway.advice.types import EngineChoice, Fixed
from slipway.architectures.types import Architecture
from slipway.engine_facts import FACTS
from slipway.engines.shm import SHM_ONE_GPU, SHM_SEVERAL_GPUS
from slipway.gates import load_deadline
from slipway.memory.settings import resolved
from slipway.speed.types import Point
from slipway.units import MIB
from slipway.workload import FullWorkload

MOST_SLOTS = 4096
"""what slipway:proxy.concurrency takes"""

BATCH_WAIT = 600.0
"""seconds that a request of batch work may wait for its place, since nobody waits for its answer; a round figure"""

LEAST_SILENCE = 60.0
"""seconds; a shorter limit would end requests on a host that is merely busy"""

SCALE_UP_KV = 0.8
"""vLLM production stack's example of an autoscaler; helm/values.yaml of github.com/vllm-project/production-stack"""

SHM_CPU = 64 * MIB
"""Docker's default, which llama.cpp's threads do not use"""


def choose(
    architecture: Architecture, workload: FullWorkload, found: Candidate, fixed: Fixed, *, explained: bool
) -> EngineChoice:
    """The settings of one candidate; `why` is empty unless `explained`."""
    measured = found.measured
    setup, fit = measured.setup, measured.fit
    best = measured.best
    assert fit is not None and best is not None  # noqa: S101, PT018 - a candidate fits and carries something
    on_gpu, several = setup.gpus > 0, setup.gpus > 1
    context = setup.max_model_len or architecture.context
    slots = fixed.max_num_seqs or min(best.batch, MOST_SLOTS)
    batched = resolved(architecture, setup).batched if FACTS[setup.engine].batched_tokens else None
    queue_timeout = _queue_timeout(workload, best)
    queue = max(1, math.floor(found.per_host * slots * queue_timeout / best.end_to_end.mid))
    load = load_deadline(on_gpu, architecture.weight_bytes, found.per_host)
    longest = speed.prefill(architecture, setup, context).high
    typical = best.first_token.high
    silence = max(LEAST_SILENCE, math.ceil(2 * (longest + (slots - 1) * typical)))
    waiting = max(1.0, round(slots * queue_timeout / 2 / best.end_to_end.mid, 1))
    cold = load_deadline(on_gpu, architecture.weight_bytes, 1)
    fraction = setup.memory_fraction
    choice = EngineChoice(
        engine=setup.engine,
        tensor_parallel=max(1, setup.gpus),
        gpus=fixed.gpus if fixed.gpus is not None else found.offer.gpus,
        replicas=found.per_host,
        max_model_len=context,
        max_num_seqs=slots,
        max_num_batched_tokens=batched,
        memory_fraction=fraction,
        kv_dtype=setup.kv_dtype,
        shm_bytes=(SHM_SEVERAL_GPUS if several else SHM_ONE_GPU) if on_gpu else SHM_CPU,
        health_deadline=load.seconds,
        stream_timeout=silence,
        concurrency=slots,
        queue=queue,
        queue_timeout=queue_timeout,
        scale_up_waiting=waiting,
        scale_up_kv=SCALE_UP_KV,
        cold_start=cold.seconds,
    )
    if not explained:
        return choice
    times = (longest, typical)
    why = _why(
        workload,
        found,
        fixed,
        choice,
        best,
        limited_by=measured.limited_by,
        prompts=times,
        loading=(load.why, cold.why),
    )
    return replace(choice, why=why)


def _why(
    workload: FullWorkload,
    found: Candidate,
    fixed: Fixed,
    choice: EngineChoice,
    best: Point,
    *,
    limited_by: str,
    prompts: tuple[float, float],
    loading: tuple[str, str],
) -> dict[str, str]:
    """The arithmetic of each value. `prompts`: seconds to read the longest and a usual one."""
    setup, fit = found.measured.setup, found.measured.fit
    on_gpu, slots, each = setup.gpus > 0, choice.concurrency, seconds(best.end_to_end.mid)
    wait, (longest, typical) = seconds(choice.queue_timeout), prompts
    room = f"; memory would hold {fit.max_context.low:.0f}" if fit else ""
    target = seconds(workload.first_token)
    silence = f"2 × ({seconds(longest)} for {choice.max_model_len} tokens + {slots - 1} others × {seconds(typical)})"
    default = f"{setup.engine}'s own default here, written down"
    batched = "the engine's own default" if choice.max_num_batched_tokens is None else default
    share_of = f"{choice.memory_fraction}: what Slipway tells {setup.engine}" if on_gpu else "a share is for GPUs"
    most = f"the most that meets the targets, {seconds(best.per_token.mid)} a token; what stops it is the {limited_by}"
    first = f"first token within {target} - {seconds(typical)} to read the prompt; 1 s at least"
    given = "as the stack file says"
    return {
        "engine": f"{setup.engine} serves from {'GPUs' if on_gpu else 'the CPU'}",
        "tensor_parallel": given if fixed.tensor_parallel else "the smallest that meets every target",
        "gpus": given if fixed.gpus is not None else f"what {found.offer.instance} has",
        "replicas": given
        if fixed.replicas
        else f"{choice.gpus} GPUs ÷ {setup.gpus}"
        if on_gpu
        else "one uses all cores",
        "max_model_len": given if fixed.max_model_len else f"the longest request{room}",
        "max_num_seqs": given if fixed.max_num_seqs else most,
        "max_num_batched_tokens": given if fixed.max_num_batched_tokens else batched,
        "memory_fraction": given if fixed.memory_fraction else share_of,
        "kv_dtype": "the model's own type, so that nothing is lost" if setup.kv_dtype == "auto" else given,
        "shm_bytes": "NCCL's buffers between ranks" if setup.gpus > 1 else "one process a replica",
        "health_deadline": loading[0],
        "stream_timeout": silence if choice.stream_timeout > LEAST_SILENCE else "a minute at least",
        "concurrency": f"what one replica runs at once: {slots}",
        "queue": f"{found.per_host} × {slots} places × {wait} ÷ {each} a request",
        "queue_timeout": "nobody waits for an answer" if math.isinf(workload.first_token) else first,
        "scale_up_waiting": f"{slots} places clear as many in half of {wait}",
        "scale_up_kv": f"{share(SCALE_UP_KV)}, as in vLLM's production stack",
        "cold_start": f"{loading[1]}, from a machine that is booted and has the model's files",
    }


def _queue_timeout(workload: FullWorkload, best: Point) -> float:
    """Whole seconds a request may wait and still get its first token in time; 1 at least."""
    if math.isinf(workload.first_token):
        return BATCH_WAIT
    return float(max(1, math.floor(workload.first_token - best.first_token.high)))
