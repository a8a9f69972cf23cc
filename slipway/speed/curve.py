"""Throughput against latency: what one replica does when it serves 1, 2, 4, … requests at once.

Under continuous batching (https://www.usenix.org/conference/osdi22/presentation/yu) a replica that always holds B
requests spends on each its own prompt, P seconds of the engine, and its part of O decode steps, O × step(B) ÷ B. So it
finishes

    requests a second = 1 ÷ (P + O × step(B) ÷ B)

and by Little's law each is inside for B ÷ that many seconds: its own prompt, O steps, and the prompts of others that
came meanwhile. What passes before and after the engine comes on top. Time per token and time to the first token are
parts of that sum. Prompts that ride in the same step as decoded tokens cost a little less than this says, so that it
errs on the slow side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from slipway.architectures.types import Architecture
from slipway.memory import kv_requests_bytes
from slipway.memory.types import Fit, Setup
from slipway.speed.efficiency import Factors
from slipway.speed.roofline import Roofline, band
from slipway.speed.types import Capacity, Point
from slipway.workload import FullWorkload

KNEE = 2 / 3
"""share of a doubling that latency may rise by. Throughput is batch ÷ latency, so that where the batch doubles, the
logarithms of both rise by ln 2 together; throughput rises less than half as fast once latency takes over two thirds"""


@dataclass(frozen=True)
class _Load:
    """One batch as plain numbers; seconds."""

    per_token: float
    first_token: float
    first_token_p95: float
    end_to_end: float
    end_to_end_p95: float
    rate: float


class Serving:
    """One replica under one workload."""

    def __init__(
        self, architecture: Architecture, setup: Setup, workload: FullWorkload, factor: Factors | None = None
    ) -> None:
        self.model = Roofline(architecture, setup, factor)
        self.workload = workload
        self.output = workload.output_mean if architecture.task in ("generate", "transcribe") else 0
        self.output_p95 = workload.output_p95 if self.output else 0
        self.context = workload.prompt_mean + self.output / 2
        self.state = self.model.state(self.context)
        self.prompt = self.model.prefill(workload.prompt_mean)
        self.prompt_p95 = self.model.prefill(workload.prompt_p95)

    def most(self, fit: Fit) -> tuple[int, str]:
        """The largest batch, and what bounds it: as many requests as keep within the memory for them at 95 of 100
        moments, so that the engine seldom has to throw out one that it has begun. By the best guess of that memory.

        Lengths add up like independent ones: B requests take B × mean, and no more than √B × (p95 - mean) above it at
        95 of 100 moments. For one that is its p95, for many nearly the mean. Solved for √B.
        """
        model, load = self.model, self.workload
        seats, lengths = model.seats, (load.prompt_mean + self.output, load.prompt_p95 + self.output_p95)
        within = (min(length, load.context) for length in lengths)
        mean, longest = kv_requests_bytes(model.architecture, model.setup, within, model.settings)
        spread, memory = max(0.0, longest - mean), max(0.0, fit.kv_available.mid)
        room = ((math.sqrt(spread**2 + 4 * mean * memory) - spread) / (2 * mean)) ** 2 if mean > 0 else math.inf
        if room < seats:
            return max(0, math.floor(room)), "KV cache"
        return seats, "batch limit"

    def at(self, batch: float) -> _Load:
        step = self.model.step(batch, self.state) if self.output else 0.0
        engine = self.prompt + self.output * step / batch
        end_to_end = batch * engine + self.model.factor.entry
        rate = batch / end_to_end
        per_token = step + (batch - 1) * self.prompt / self.output if self.output else 0.0
        ahead = self._ahead(batch, step, rate)
        return _Load(
            per_token=per_token,
            first_token=ahead + self.prompt,
            first_token_p95=ahead + self.prompt_p95,
            end_to_end=end_to_end,
            end_to_end_p95=ahead + self.prompt_p95 + self.output_p95 * per_token,
            rate=rate,
        )

    def _ahead(self, batch: float, step: float, rate: float) -> float:
        """Seconds of a first token besides its own prompt: the way in and out, the rest of the step under way, and the
        prompts ahead, an M/D/1 queue (https://en.wikipedia.org/wiki/M/D/1_queue) with a wait of
        busy × P ÷ 2 ÷ (1 - busy), but of at most B - 1."""
        busy = rate * self.prompt
        queue = (batch - 1) * self.prompt / 2
        if busy < 1:
            queue = min(queue, busy * self.prompt / 2 / (1 - busy))
        return self.model.factor.entry + (step / 2 if batch > 1 else 0.0) + queue

    def misses(self, batch: int) -> str:
        """The first target that this batch misses by the best guess; "" if it meets all. The first token and the whole
        answer are held against requests of p95 length, the time per token against the mean one."""
        goal, load = self.workload, self.at(batch)
        if load.per_token > goal.per_token:
            return "time per token"
        if load.first_token_p95 > goal.first_token:
            return "first token"
        if goal.end_to_end is not None and load.end_to_end_p95 > goal.end_to_end:
            return "end to end"
        return ""

    def best(self, most: int, bound: str) -> tuple[int, str]:
        """The largest batch that meets every target, 0 if none does, and what stops it. Every latency grows with the
        batch, so that halving finds it."""
        if most == 0:
            return 0, bound
        if not (missed := self.misses(most)):
            return most, bound
        good, bad = 0, most
        while bad - good > 1:
            middle = (good + bad) // 2
            if why := self.misses(middle):
                bad, missed = middle, why
            else:
                good = middle
        return good, missed

    def knee(self, most: int) -> int:
        """The last of the batches 1, 2, 4, … up to which doubling pays."""
        batch, latency = 1, self.at(1).end_to_end
        while batch * 2 <= most:
            doubled = self.at(batch * 2).end_to_end
            if math.log(doubled / latency) > KNEE * math.log(2):
                break
            batch, latency = batch * 2, doubled
        return batch

    def point(self, batch: int) -> Point:
        """With ranges: the first token's is that of prompts, the others' that of whatever takes most of the engine."""
        load, model = self.at(batch), self.model
        factor, reading = model.factor, self.prompt * load.rate > 0.5
        mixed, crowded = (factor.prefill_band, 1.0) if reading else (factor.decode_band, model.crowded)
        rate = band(load.rate, mixed, down=crowded)
        return Point(
            batch=batch,
            per_token=band(load.per_token, mixed, up=crowded),
            first_token=band(load.first_token, factor.prefill_band),
            first_token_p95=band(load.first_token_p95, factor.prefill_band),
            end_to_end=band(load.end_to_end, mixed, up=crowded),
            end_to_end_p95=band(load.end_to_end_p95, mixed, up=crowded),
            tokens_per_second=rate.scaled(self.output),
            requests_per_second=rate,
        )


def capacity(architecture: Architecture, setup: Setup, fit: Fit, workload: FullWorkload) -> Capacity:
    """What one replica carries within the targets of the workload."""
    serving = Serving(architecture, setup, workload)
    most, bound = serving.most(fit)
    best, stopped = serving.best(most, bound)
    return Capacity(serving.point(serving.knee(most)), serving.point(best) if best else None, stopped)


def alone(architecture: Architecture, setup: Setup, workload: FullWorkload) -> Point:
    """One request with the replica to itself: the best that any target can hope for."""
    return Serving(architecture, setup, workload).point(1)


def curve(architecture: Architecture, setup: Setup, fit: Fit, workload: FullWorkload) -> tuple[Point, ...]:
    """Batches of 1, 2, 4, … and the largest that memory and the engine allow; empty if that is none."""
    serving = Serving(architecture, setup, workload)
    most, _ = serving.most(fit)
    batches = [2**power for power in range(most.bit_length()) if 2**power < most] + [most] * (most > 0)
    return tuple(map(serving.point, batches))
