"""Fit the factors of `slipway/speed/efficiency.py` on published speeds, and say how far off they are on others.

    python -m bench.sizing_fit          # prints the factors to put there, and the error of every row
    python -m bench.sizing_fit --check  # the error alone, with the factors that are there

Least squares over the logarithm of estimate ÷ measurement, each source weighing as much as the root of its rows, with
a mild pull towards PRIOR, so that a factor that no row tells of stays there. Bands are not fitted: on GPUs they are
what 8 of 10 rows keep within, rounded; of CPUs there are too few rows to say, and theirs are wide on purpose.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from statistics import median
from typing import cast

from bench.sizing_results import device, model, resized
from bench.sizing_rows import Speed, load_speeds
from slipway.architectures.types import Architecture
from slipway.errors import SizingError
from slipway.gpus import Gpu
from slipway.memory.types import Engine, Setup
from slipway.speed import efficiency
from slipway.speed.curve import Serving
from slipway.speed.efficiency import Factors
from slipway.workload import FullWorkload

PRIOR = {
    "SERVER": Factors(
        read_16=0.80, read_8=0.68, read_4=0.60, read_experts=0.70, read_state=0.70,
        compute_16=0.60, compute_8=0.45, compute_4=0.35, compute_unpacked=0.50, compute_attention=0.45,
        step=0.0008, layer=15e-6, launch=300e-6, expert_layer=60e-6, request=20e-6, entry=0.008,
        nvlink=10e-6, pcie=30e-6, decode_band=1.4, prefill_band=1.5,
    ),
    "LLAMA_CPP": Factors(
        read_16=0.80, read_8=0.75, read_4=0.65, read_experts=0.70, read_state=0.50,
        compute_16=0.40, compute_8=0.30, compute_4=0.30, compute_unpacked=0.30, compute_attention=0.20,
        step=0.0003, layer=15e-6, launch=200e-6, expert_layer=30e-6, request=50e-6, entry=0.005,
        nvlink=10e-6, pcie=30e-6, decode_band=1.4, prefill_band=1.5,
    ),
    "ONE_SOCKET": Factors(
        read_16=0.40, read_8=0.40, read_4=0.40, read_experts=1.0, read_state=0.40,
        compute_16=0.30, compute_8=0.30, compute_4=0.30, compute_unpacked=0.30, compute_attention=0.10,
        step=0.0005, layer=0.0, launch=0.0, expert_layer=0.0, request=0.0001, entry=0.005,
        nvlink=0.0, pcie=0.0, decode_band=1.6, prefill_band=2.0,
    ),
    "TWO_SOCKETS": Factors(
        read_16=0.15, read_8=0.15, read_4=0.15, read_experts=1.0, read_state=0.15,
        compute_16=0.15, compute_8=0.15, compute_4=0.15, compute_unpacked=0.15, compute_attention=0.05,
        step=0.0005, layer=0.0, launch=0.0, expert_layer=0.0, request=0.0001, entry=0.005,
        nvlink=0.0, pcie=0.0, decode_band=1.6, prefill_band=2.0,
    ),
}  # fmt: skip
"""where the fit starts from and is pulled to: what single figures say. 0.8 of the bandwidth, 0.6 of the operations and
0.4 of a CPU's bandwidth are usual; 0.15 on two sockets is what the rows of such a machine say, which therefore prove
nothing; the rest are orders of magnitude, measured nowhere"""
KEPT = {"decode_band", "prefill_band"}
PULL = 0.4
"""how far, as a logarithm, a factor leaves where it stood at the cost of one row that is off by SLACK"""
SLACK = 0.15
PREFILL = {"ttft_ms", "prefill_tok_s"}
SERVED = 256
"""requests at once of rows that do not say how many: vLLM's usual bound"""
LENGTH = 128
"""tokens, where a row says none"""
OLD = "2024-05"
"""llama.cpp of before has no CUDA graphs (https://github.com/ggml-org/llama.cpp/pull/6766), and is not what anybody
deploys today"""

IDEAL = Factors(
    **{field.name: float(field.name.startswith(("read", "compute")) or field.name in KEPT) for field in fields(Factors)}
)
"""all that the data sheet promises, and nothing lost between"""


@dataclass(frozen=True)
class Row:
    """One published speed, and what it was measured on."""

    speed: Speed
    architecture: Architecture
    setup: Setup

    @property
    def kind(self) -> str:
        """The set of factors that it tells of."""
        found = efficiency.factors(self.setup)
        return next(name for name in PRIOR if getattr(efficiency, name) is found)

    @property
    def label(self) -> str:
        many = f" ×{self.setup.gpus}" if self.setup.gpus > 1 else ""
        return f"{self.architecture.name.split('/')[-1]} {self.setup.device.name}{many} {self.speed.engine}"

    def predicted(self, factor: Factors) -> float:
        """The same figure by `slipway.speed`: of so many requests at once, each replaced as it ends."""
        row, batch = self.speed, self.speed.batch or SERVED
        prompt = LENGTH if row.prompt is None else row.prompt
        output = LENGTH if row.output is None else row.output
        serving = Serving(self.architecture, self.setup, _workload(prompt, output), factor)
        if row.metric == "prefill_tok_s":
            return prompt / serving.prompt
        load = serving.at(batch)
        return {
            "tpot_ms": 1000 * load.per_token,
            "ttft_ms": 1000 * load.first_token,
            "e2e_ms": 1000 * load.end_to_end,
            "tok_s": 1 / load.per_token if batch == 1 else load.rate * output,
            "serve_tok_s": load.rate * output,
        }[row.metric]

    def error(self, factor: Factors) -> float:
        """ln(slowness predicted ÷ measured): above 0 where the estimate is too slow."""
        ratio = math.log(self.predicted(factor) / self.speed.value)
        return ratio if self.speed.metric.endswith("_ms") else -ratio


def _workload(prompt: int, output: int) -> FullWorkload:
    prompt, output = max(prompt, 1), max(output, 1)
    return FullWorkload(
        purpose="inference",
        mode="batch",
        profile=(1.0,),
        prompt_mean=prompt,
        prompt_p95=prompt,
        output_mean=output,
        output_p95=output,
        context=prompt + output,
        concurrency=None,
        first_token=math.inf,
        per_token=math.inf,
        end_to_end=None,
        idle_share=0.0,
        complexity="low",
    )


def rows() -> Iterator[Row]:
    """All whose model and device Slipway knows."""
    for speed in load_speeds():
        try:
            architecture, on = model(speed.model), device(speed.device)
        except SizingError as error:
            print(f"row {speed.id} left out: {error.what}")
            continue
        if speed.weights is not None:
            architecture = resized(architecture, speed.quant, speed.weights)
        on_gpu = isinstance(on, Gpu)
        setup = Setup(
            on,
            engine=cast(Engine, speed.engine),
            engine_version=speed.engine_version if speed.engine != "llama.cpp" else None,
            tensor_parallel=speed.tensor_parallel if on_gpu else 1,
            pipeline_parallel=speed.count // speed.tensor_parallel if on_gpu else 1,
            cuda_graphs="eager" not in speed.note,
        )
        row = Row(speed, architecture, setup)
        if speed.engine == "llama.cpp" and (speed.engine_version or OLD) < OLD:
            print(f"row {speed.id} left out: llama.cpp of {speed.engine_version}")
        elif row.error(IDEAL) > 0:
            print(f"row {speed.id} left out: faster than the device's data sheet allows, so a cache had part of it")
        else:
            yield row


def fit(prior: Factors, seen: Sequence[Row]) -> Factors:
    """A pattern search: each factor up and down by a step that halves once no move helps."""
    names = [field.name for field in fields(Factors) if field.name not in KEPT and getattr(prior, field.name) > 0]
    weight = {source: 1 / math.sqrt(count) for source, count in Counter(row.speed.source for row in seen).items()}

    def cost(at: Factors) -> float:
        missed = sum(weight[row.speed.source] * (row.error(at) / SLACK) ** 2 for row in seen)
        moved = sum((math.log(getattr(at, name) / getattr(prior, name)) / PULL) ** 2 for name in names)
        return missed + moved

    best, least, stride = prior, cost(prior), 0.2
    while stride > 0.01:
        before = least
        for name in names:
            for turn in (1 + stride, 1 / (1 + stride)):
                value = getattr(best, name) * turn
                if value > 0.95 and name.startswith(("read", "compute")):
                    continue
                tried = replace(best, **{name: value})
                if (now := cost(tried)) < least - 1e-9:
                    best, least = tried, now
        if least > before - 1e-3:
            stride /= 2
    return replace(best, **{name: float(f"{getattr(best, name):.2g}") for name in names})


def report(factor: dict[str, Factors], known: Sequence[Row]) -> None:
    """Every row with its error, then the medians of those that were fitted and of those held out."""
    for row in sorted(known, key=lambda row: (row.kind, row.speed.metric in PREFILL, row.speed.split)):
        error, speed = row.error(factor[row.kind]), row.speed
        print(
            f"{speed.id:>4} {row.label:<58} b={speed.batch or SERVED:<4}{speed.prompt or 0:>6}/{speed.output or 0:<5} "
            f"{speed.metric:<13}{speed.value:>9.1f} → {row.predicted(factor[row.kind]):>9.1f} "
            f"{math.expm1(abs(error)):>6.0%} {'slow' if error > 0 else 'fast'} {speed.split}"
        )
    for name in ("decode", "prefill"):
        for split in ("fit", "held-out"):
            errors = sorted(
                abs(row.error(factor[row.kind]))
                for row in known
                if row.speed.split == split and (row.speed.metric in PREFILL) is (name == "prefill")
            )
            if errors:
                band = math.exp(errors[min(len(errors) - 1, int(0.8 * len(errors)))])
                print(
                    f"{name}, {split}: {len(errors)} rows, median error {math.expm1(median(errors)):.0%}, "
                    f"8 of 10 within a factor of {band:.2f}"
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--check", action="store_true", help="fit nothing")
    asked = parser.parse_args()
    known = list(rows())
    factor = {name: getattr(efficiency, name) for name in PRIOR}
    if not asked.check:
        for name, prior in PRIOR.items():
            seen = [row for row in known if row.kind == name and row.speed.split == "fit"]
            factor[name] = fit(prior, seen)
            print(f"{name} = Factors({', '.join(f'{key}={value:g}' for key, value in asdict(factor[name]).items())})")
    report(factor, known)


if __name__ == "__main__":
    main()
