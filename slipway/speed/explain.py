"""Speed's arithmetic written out, for people."""

from __future__ import annotations

from slipway.architectures.types import Architecture
from slipway.memory.types import Fit, Setup
from slipway.speed.curve import Serving
from slipway.speed.types import Capacity, Point
from slipway.workload import FullWorkload


def explain(
    architecture: Architecture, setup: Setup, fit: Fit, workload: FullWorkload, capacity: Capacity
) -> tuple[str, ...]:
    """One sentence a step of the way from bandwidth to requests a second, with its figures."""
    serving = Serving(architecture, setup, workload)
    model, point = serving.model, capacity.best or capacity.knee
    batch = max(1.0, point.batch / model.shares)
    read = model.weights(batch)
    multiply = (model.multiply + model.head_multiply) * batch
    state = model.state_bytes(serving.context) * batch
    most, bound = serving.most(fit)
    lines = [
        f"a prompt of {workload.prompt_mean} tokens takes {_seconds(serving.prompt)} of the engine, "
        f"one of {workload.prompt_p95} (p95) {_seconds(serving.prompt_p95)}"
    ]
    if serving.output:
        slower = "reading weights" if read >= multiply else "multiplying with them"
        reading = _seconds(serving.state * batch)
        meanwhile = " meanwhile" if model.overlaps else ""
        lines += [
            f"a step of {point.batch} requests: {_seconds(max(read, multiply))} for {slower} "
            f"({_seconds(read)} to read, {_seconds(multiply)} to multiply), {reading} to read {state / 1e9:.2f} GB of "
            f"keys, values and states at {serving.context:.0f} tokens each, {_seconds(model.talk(batch))} to talk "
            f"between GPUs, {_seconds(model.gaps)} between kernels, "
            f"{_seconds(model.host(batch))} of the engine on the CPU{meanwhile}",
            f"estimates are right within a factor of {model.factor.decode_band:g} (decode) and "
            f"{model.factor.prefill_band:g} (prompts), 8 of 10 times"
            + (f"; busy neighbours may make decode {model.crowded:.1f} times slower" if model.crowded > 1 else ""),
        ]
    lines += [
        f"at most {most} requests at once ({bound}), the knee is at {capacity.knee.batch}",
        f"at {point.batch}: {_line(point)}; limited by {capacity.limited_by}"
        if capacity.best
        else f"one request alone misses the target: {capacity.limited_by} ({_line(point)})",
    ]
    return tuple(lines)


def _line(point: Point) -> str:
    return (
        f"first token {_seconds(point.first_token.mid)}, each further {_seconds(point.per_token.mid)}, "
        f"whole answer {_seconds(point.end_to_end.mid)}, {point.tokens_per_second.mid:.0f} tokens/s, "
        f"{point.requests_per_second.mid:.3g} requests/s"
    )


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.2f} ms"
