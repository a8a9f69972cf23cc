"""One GPU or several a replica: several only where a constraint with a name demands it."""

from __future__ import annotations

from slipway import speed
from slipway.advice.search import MEMORY, TARGET, UNSUPPORTED, Candidate
from slipway.advice.texts import count, share
from slipway.advice.types import Several
from slipway.architectures.types import Architecture
from slipway.estimates import Range
from slipway.workload import FullWorkload


def several(architecture: Architecture, workload: FullWorkload, chosen: Candidate, *, asked: bool) -> Several | None:
    """None for a CPU. The cost of several is what they say to each other, and how much goes when one of them fails.

    `asked`: somebody decided the number.
    """
    measured = chosen.measured
    gpus = measured.setup.gpus
    if gpus == 0:
        return None
    replicas = measured.replicas
    running = chosen.hosts * chosen.per_host
    lost = 1 / running
    blast = f"a GPU that fails takes {share(lost)} of the capacity ({count(running, 'replica')})"
    if gpus == 1:
        needed = f"; it takes {count(replicas.count, 'replica')} of one GPU to carry the load" if replicas else ""
        why = f"one GPU holds the model and meets the targets{needed}; {blast}"
        return Several(1, "none", Range.exact(0.0), why)
    batch = measured.best.batch if measured.best else 1
    context = workload.prompt_mean + workload.output_mean // 2
    communication = speed.communication_share(architecture, measured.setup, batch, context)
    talk = f"{gpus} GPUs spend {share(communication.mid)} of a decode step on talking to each other"
    single = chosen.single
    if asked:
        return Several(gpus, "none", communication, f"{gpus} GPUs are asked for; {talk}; {blast}")
    if single is None:
        reason = f"fewer hosts than with one GPU a replica ({count(chosen.hosts, 'host')})"
        return Several(gpus, "throughput", communication, f"{reason}; {talk}; {blast}")
    if single.stage in (MEMORY, UNSUPPORTED):
        return Several(gpus, "does not fit", communication, f"one GPU: {single.what}; {talk}; {blast}")
    constraint = "latency" if single.stage == TARGET else "throughput"
    return Several(gpus, constraint, communication, f"one GPU: {single.what}; {talk}; {blast}")  # type: ignore[arg-type]
