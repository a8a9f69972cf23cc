"""Sizing's answer for every published row, and how far off it is."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal, cast

from bench.sizing_peers import PEERS, Answer
from bench.sizing_rows import Case, Speed, load_twins
from slipway.architectures import catalogue
from slipway.architectures.types import Architecture
from slipway.cpus import Cpu, find_cpu
from slipway.errors import SizingError
from slipway.estimates import Range
from slipway.gpus import Gpu, find_gpu
from slipway.memory import fit, kv_request_bytes
from slipway.memory.types import Engine, Fit, Setup
from slipway.speed import decode_step, prefill

GIB = 2**30
UNSTATED = {"unstated-80GB": "A100-80", "unstated-48GB": "L40S", "unstated-24GB": "A10G", "unstated-16GB": "T4"}
"""what stands for a card that the source does not name, with the memory that its log says"""

Measure = Literal["kv", "tokens", "concurrency", "weights"]
AIMS: dict[tuple[Measure, str], float] = {
    **{("kv", group): 0.10 for group in ("dense", "moe", "window", "hybrid")},
    **{("weights", group): 0.03 for group in ("dense", "moe", "window", "hybrid")},
    **{("tokens", group): 0.10 for group in ("dense", "moe")},
    **{("concurrency", group): 0.20 for group in ("window", "hybrid")},
}
"""largest error that counts as right. Concurrency of dense models is their tokens over again; tokens of the others are
not a linear capacity (https://github.com/vllm-project/vllm/issues/51041)."""
DECODE_AIM = 0.25
"""of the median"""


@dataclass(frozen=True)
class Figure:
    """One published figure beside ours and the peers'."""

    published: float
    ours: float
    low: float
    high: float
    peers: dict[str, float]

    @property
    def error(self) -> float:
        """Share of the published figure, with its sign."""
        return self.ours / self.published - 1

    @property
    def inside(self) -> bool:
        """Whether the published figure is in the range that we give; to the digit that a log rounds to."""
        slack = 0.006 * max(1.0, abs(self.published) / 100)
        return self.low - slack <= self.published <= self.high + slack

    def peer_error(self, peer: str) -> float:
        return self.peers[peer] / self.published - 1


@dataclass(frozen=True)
class Result:
    case: Case
    fit: Fit
    figures: dict[Measure, Figure]
    sized: bool
    """whether the row says enough to judge the fit"""

    @property
    def false_fit(self) -> bool:
        """Promised, and the engine refused."""
        return self.sized and not self.case.fits and self.fit.verdict == "fits"

    @property
    def missed_fit(self) -> bool:
        """Denied, and the engine started with a length that the row states."""
        return self.sized and self.case.fits and self.case.max_model_len is not None and self.fit.verdict == "no"

    def over(self) -> Iterator[tuple[Measure, float]]:
        """What is off by more than the aim, and by how much."""
        for measure, figure in self.figures.items():
            aim = AIMS.get((measure, self.case.group))
            if aim is not None and abs(figure.error) > aim:
                yield measure, figure.error


@dataclass(frozen=True)
class Skipped:
    """A row that sizing cannot be asked about."""

    row: Case | Speed
    why: str


@dataclass(frozen=True)
class SpeedResult:
    row: Speed
    ours: float
    low: float
    high: float

    @property
    def error(self) -> float:
        return self.ours / self.row.value - 1

    @property
    def decode(self) -> bool:
        return self.row.metric in ("tpot_ms", "tok_s")


@cache
def model(name: str) -> Architecture:
    """The catalogue's, or its twin's. Raises `SizingError`."""
    twin = load_twins().get(name)
    return catalogue.find(twin.name if twin else name)


def card(case: Case) -> Gpu:
    """Raises `SizingError` for one that Slipway does not know."""
    gpu = find_gpu(UNSTATED.get(case.gpu, case.gpu))
    if case.gpu in UNSTATED and case.total is not None:
        mib = round(case.total * 1024)
        return gpu.model_copy(update={"usable_mib": mib, "memory_mib": max(mib, gpu.memory_mib)})
    return gpu


def _same(quant: str, quantization: str) -> bool:
    """Whether the row's weights are stored as the catalogue's are; a row that does not say is believed."""
    alike = {"bf16": ("none",), "fp16": ("none",), "int4": ("awq", "gptq")}.get(quant, (quant,))
    return quant == "unstated" or quantization in alike


def setup(case: Case, gpu: Gpu) -> Setup:
    return Setup(
        device=gpu,
        engine=cast(Engine, case.engine),
        engine_version=case.engine_version,
        tensor_parallel=case.tensor_parallel,
        pipeline_parallel=case.pipeline_parallel,
        memory_fraction=case.memory_fraction,
        max_model_len=case.max_model_len,
        kv_dtype=case.kv_dtype or "auto",
        max_num_seqs=case.max_num_seqs,
        max_num_batched_tokens=case.max_num_batched_tokens,
        cuda_graphs=not case.eager,
        speculative_tokens=case.speculative,
    )


def judge(case: Case) -> Result | Skipped:
    """Sizing's answer for one row."""
    twin = load_twins().get(case.model)
    try:
        architecture = model(case.model)
        if case.language_only:
            architecture = architecture.without_encoders()
        if (twin is None or twin.weights) and not _same(case.quant, architecture.quantization):
            return Skipped(case, f"published of {case.quant} weights, of which the catalogue has none")
        gpu = card(case)
        asked = setup(case, gpu)
        answer = fit(architecture, asked)
    except SizingError as error:
        return Skipped(case, error.what)
    sized = case.memory_fraction is not None and (twin is None or twin.weights)
    length = case.max_model_len or architecture.context
    peers = {
        name: peer(architecture, gpu, case.gpus, case.memory_fraction or 0.9)
        for name, peer in PEERS.items()
        if case.engine == "vllm"
    }
    figures: dict[Measure, Figure] = {}
    if case.weights is not None and (twin is None or twin.weights):
        figures["weights"] = _figure(case.weights, answer.weights.scaled(1 / GIB), _of(peers, "weights"))
    if sized and case.kv is not None and case.kv > 0:
        kv = answer.kv_available
        in_gib = Range(kv.low / GIB, kv.mid / GIB, kv.high / GIB)
        figures["kv"] = _figure(case.kv, in_gib, _of(peers, "kv"))
    if sized and case.tokens is not None:
        figures["tokens"] = _figure(case.tokens, answer.kv_tokens, _of(peers, "tokens"))
    if case.concurrency is not None:
        said = {name: peer.tokens / length for name, peer in peers.items()}
        if sized:
            figures["concurrency"] = _figure(case.concurrency, answer.max_concurrency, said)
        elif case.kv is not None:  # what a request keeps can still be told from the published cache
            ours = case.kv * GIB / kv_request_bytes(architecture, asked, length)
            figures["concurrency"] = _figure(case.concurrency, Range.exact(ours), said)
    return Result(case, answer, figures, sized)


def _figure(published: float, ours: Range, peers: dict[str, float]) -> Figure:
    return Figure(published, ours.mid, ours.low, ours.high, peers)


def _of(peers: dict[str, Answer], what: Literal["weights", "kv", "tokens"]) -> dict[str, float]:
    return {name: float(getattr(peer, what)) for name, peer in peers.items()}


def resized(architecture: Architecture, quantization: str, weights: float) -> Architecture:
    """The same model in a file of `weights` GiB: every part shrinks alike, which a file's own mix does not quite do."""
    ratio = weights * GIB / sum(part.bytes for part in architecture.parts)
    return replace(
        architecture,
        parts=tuple(replace(part, bits=part.bits * ratio) for part in architecture.parts),
        quantization=quantization,
        file_bytes=round(weights * GIB),
    )


def device(name: str) -> Gpu | Cpu:
    try:
        return find_gpu(name)
    except SizingError:
        return find_cpu(name)


def judge_speed(row: Speed) -> SpeedResult | Skipped:
    """Sizing's answer for one measurement, in its unit."""
    if row.batch is None:
        return Skipped(row, "the batch is unknown")
    try:
        architecture = model(row.model)
        if row.weights is not None:
            architecture = resized(architecture, row.quant, row.weights)
        asked = Setup(
            device=device(row.device),
            engine=cast(Engine, row.engine),
            engine_version=row.engine_version if row.engine == "vllm" else None,
            tensor_parallel=row.tensor_parallel,
            pipeline_parallel=row.count // row.tensor_parallel,
        )
        prompt, output = row.prompt or 0, row.output or 0
        step = decode_step(architecture, asked, row.batch, prompt + output // 2)
        read = prefill(architecture, asked, prompt * row.batch) if prompt else None
    except SizingError as error:
        return Skipped(row, error.what)
    if row.metric == "tpot_ms":
        return SpeedResult(row, step.mid * 1e3, step.low * 1e3, step.high * 1e3)
    if row.metric == "tok_s":
        return SpeedResult(row, row.batch / step.mid, row.batch / step.high, row.batch / step.low)
    if read is None:
        return Skipped(row, "the prompt's length is unknown")
    if row.metric == "ttft_ms":
        return SpeedResult(row, read.mid * 1e3, read.low * 1e3, read.high * 1e3)
    if row.metric == "prefill_tok_s":
        return SpeedResult(row, prompt / read.mid, prompt / read.high, prompt / read.low)
    whole = read + step.scaled(output)
    return SpeedResult(row, whole.mid * 1e3, whole.low * 1e3, whole.high * 1e3)


def middle(errors: Iterable[float]) -> float:
    return statistics.median(abs(error) for error in errors)
