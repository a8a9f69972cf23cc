"""The setups worth trying on each offer, and what becomes of each: what it carries, or the first thing it misses.

Many offers hold the same GPUs, so a setup is measured once, whatever the number of offers that have it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, lru_cache

from slipway import memory, offers, speed
from slipway.advice.texts import count, gib, seconds
from slipway.advice.types import Fixed
from slipway.architectures.types import Architecture
from slipway.cpus import Cpu
from slipway.engine_facts import FACTS
from slipway.gpus import Gpu
from slipway.memory.settings import Resolved
from slipway.memory.types import Engine, Fit, Setup
from slipway.offers import Offer
from slipway.settings.rules import SYSTEM_MEMORY
from slipway.speed.curve import Serving, alone
from slipway.speed.types import Capacity, Point, Replicas
from slipway.workload import FullWorkload

UNSUPPORTED, MEMORY, TARGET, HOSTS = 3, 2, 1, 0
"""how far a setup came before it missed something; the nearest miss has the lowest"""

SEATS: dict[Engine, tuple[int, ...]] = {"vllm": (256, 16), "sglang": (256, 16), "llama.cpp": (16, 4, 1)}
"""requests at once that are tried, most first. 256 is vLLM's own default (vllm/engine/arg_utils.py); the others are
steps down, for models that are large for their GPU, and for llama.cpp, which reserves a whole context for each"""

Key = tuple[str, str | None, int, int, int]
"""device, link, vcpus and bytes of a CPU, tensor parallel size"""


@dataclass(frozen=True)
class Miss:
    """The first thing that a setup misses, and how far it came. Most are never read, so the sentence is made late."""

    stage: int
    say: Callable[[], tuple[str, float]]
    """both sides, and how many times over the limit it is"""

    @cached_property
    def said(self) -> tuple[str, float]:
        return self.say()

    @property
    def what(self) -> str:
        return self.said[0]

    @property
    def near(self) -> tuple[int, float]:
        """Less is nearer."""
        return self.stage, self.said[1]


@dataclass(frozen=True)
class Measured:
    """One replica's setup and what it carries; or what it misses. Ranking asks for the numbers alone; ranges and
    sentences are made for those that are read."""

    setup: Setup
    fit: Fit | None = None
    serving: Serving | None = None
    batch: int = 0
    """the largest that meets every target"""
    limited_by: str = ""
    count: int = 0
    """replicas that the load needs"""
    miss: Miss | None = None

    @cached_property
    def best(self) -> Point | None:
        """What that batch does; None where none meets every target."""
        return self.serving.point(self.batch) if self.serving is not None else None

    @cached_property
    def replicas(self) -> Replicas | None:
        """The same number with its reasons."""
        if self.serving is None or self.best is None:
            return None
        # The knee costs as much again, and the number of replicas does not follow from it.
        return speed.replicas(Capacity(self.best, self.best, self.limited_by), self.serving.workload)


@dataclass(frozen=True)
class Candidate:
    """An offer that meets every target: with which setup, and with how many hosts."""

    offer: Offer
    measured: Measured
    per_host: int
    """replicas on one host"""
    hosts: int
    single: Miss | None
    """what one GPU a replica misses, where more than one was taken"""


@dataclass
class Search:
    """Measures offers for one model and one workload."""

    architecture: Architecture
    workload: FullWorkload
    engine: Engine | None = None
    engine_version: str | None = None
    fixed: Fixed = field(default_factory=Fixed)
    _measured: dict[Key, Measured] = field(init=False)
    _found: dict[tuple[object, ...], Candidate | Miss] = field(init=False, default_factory=dict)
    _slow: list[Cpu] = field(init=False, default_factory=list)
    """CPUs on which one request alone misses a latency target"""
    _capacities: dict[int, Capacity] = field(init=False, default_factory=dict)
    """by the identity of what was measured, which is kept as long"""

    def __post_init__(self) -> None:
        shape = replace(self.architecture, name="", source="", notes=())
        self._measured = measured_of(shape, self.workload, self.engine, self.engine_version, self.fixed)

    def on(self, offer: Offer) -> Candidate | Miss:
        """The smallest way in which this offer meets every target, or what its largest setup misses first. Offers of
        the same hardware differ in price alone, and are searched once."""
        on_cpu, have = self._has(offer)
        same = (offer.cpu, offer.vcpus, offer.memory) if on_cpu else (offer.gpu, offer.link, offer.gpus)
        found = self._found.get(same)
        if found is None:
            found = self._found[same] = self._search(offer, have, on_cpu=on_cpu)
        elif isinstance(found, Candidate):
            found = Candidate(offer, found.measured, found.per_host, found.hosts, found.single)
        return found

    def _search(self, offer: Offer, have: int, *, on_cpu: bool) -> Candidate | Miss:
        if have > offer.gpus or (self.fixed.gpus and on_cpu):
            return _never(f"{count(offer.gpus, 'GPU')} < the {self.fixed.gpus} that are asked for")
        best: Candidate | None = None
        miss: Miss | None = None
        single: Miss | None = None
        for size in self._sizes(have):
            measured = self._measure(offer, size, on_cpu)
            found = measured.miss or self._placed(offer, measured, max(1, have // size), single)
            if isinstance(found, Miss):
                miss = found if miss is None or found.stage <= miss.stage else miss
                single = single or (found if size == 1 else None)
            elif best is None or found.hosts < best.hosts:
                best = found
            if best is not None and best.hosts == 1:
                break
        return best or miss or _never(f"no number of its {have} GPUs divides the model's attention heads")

    def _has(self, offer: Offer) -> tuple[bool, int]:
        """Whether its CPU serves, and how many of its GPUs are to be used."""
        if offer.gpu is None or self.fixed.gpus == 0:
            return True, 0
        return False, offer.gpus if self.fixed.gpus is None else self.fixed.gpus

    def capacity(self, measured: Measured) -> Capacity:
        """What a replica that misses nothing carries."""
        found = self._capacities.get(id(measured))
        if found is None:
            assert measured.fit is not None  # noqa: S101 - it misses nothing
            found = speed.capacity(self.architecture, measured.setup, measured.fit, self.workload)
            self._capacities[id(measured)] = found
        return found

    def largest(self, offer: Offer) -> Measured:
        """The offer's largest setup: as many GPUs as one replica may have, or its CPU."""
        on_cpu, have = self._has(offer)
        sizes = list(self._sizes(have))
        return self._measure(offer, sizes[-1] if sizes else 1, on_cpu)

    def cpu_rank(self, offer: Offer) -> tuple[bool, float, int]:
        """What makes one CPU better than another: that the model fits, then how fast its memory is."""
        measured = self._measure(offer, 1, on_cpu=True)
        fits = measured.miss is None or measured.miss.stage <= TARGET
        return fits, measured.setup.device.bandwidth, offer.memory

    def _sizes(self, have: int) -> Iterator[int]:
        """Tensor parallel sizes worth trying, the smallest first: powers of two that divide the attention heads."""
        if self.fixed.tensor_parallel is not None:
            if self.fixed.tensor_parallel <= max(have, 1):
                yield self.fixed.tensor_parallel
            return
        size = 1
        while size <= max(have, 1):
            if self.architecture.heads % size == 0:
                yield size
            size *= 2

    def _placed(self, offer: Offer, measured: Measured, fitting: int, single: Miss | None) -> Candidate | Miss:
        """How many hosts of this offer it takes."""
        per_host = self.fixed.replicas or fitting
        if per_host > fitting:
            held = f"{count(per_host, 'replica')} a host > {fitting} that its GPUs hold"
            return Miss(HOSTS, lambda: (held, per_host / fitting))
        hosts = math.ceil(measured.count / per_host)
        limit = self.fixed.hosts
        if limit is not None and hosts > limit:
            return Miss(HOSTS, lambda: (f"{count(hosts, 'host')} needed > {limit}", hosts / limit))
        return Candidate(offer, measured, per_host, hosts, single)

    def _measure(self, offer: Offer, size: int, on_cpu: bool) -> Measured:
        key: Key = (
            (offer.cpu or "", None, offer.vcpus, offer.memory, 1)
            if on_cpu
            else (offer.gpu or "", offer.link, 0, 0, size)
        )
        found = self._measured.get(key)
        if found is None:
            device = _cpu(offer) if on_cpu else offers.device(offer)
            found = self._measured[key] = self._fresh(device, size)
        return found

    def _fresh(self, device: Gpu | Cpu, size: int) -> Measured:
        architecture, workload, fixed = self.architecture, self.workload, self.fixed
        on_gpu = isinstance(device, Gpu)
        engine: Engine = self.engine or ("vllm" if on_gpu else "llama.cpp")
        # llama.cpp gives each of several GPUs whole layers.
        tensor, pipeline = (1, size) if engine == "llama.cpp" else (size, 1)
        setup = Setup(
            device,
            engine=engine,
            engine_version=self.engine_version,
            tensor_parallel=tensor,
            pipeline_parallel=pipeline,
            memory_fraction=(fixed.memory_fraction or FACTS[engine].memory_fraction) if on_gpu else None,
            max_model_len=fixed.max_model_len or workload.context,
            kv_dtype=fixed.kv_dtype,
            max_num_seqs=fixed.max_num_seqs or SEATS[engine][0],
            max_num_batched_tokens=fixed.max_num_batched_tokens,
        )
        miss = self._refused(setup) or self._weights_alone(setup, size)
        if miss is not None:
            return Measured(setup, miss=miss)
        late = Miss(TARGET, lambda: target_missed(alone(architecture, setup, workload), workload))
        if isinstance(device, Cpu) and any(_no_faster(device, slow) for slow in self._slow):
            return Measured(setup, miss=late)
        serving = Serving(architecture, setup, workload)
        if serving.misses(1):
            if isinstance(device, Cpu):
                self._slow.append(device)
            return Measured(setup, miss=late)
        seated, fit = self._seated(setup, serving.model.settings)
        if not fit.fits:
            return Measured(seated, fit, miss=Miss(MEMORY, lambda: memory_missed(seated, fit)))
        if seated is not setup:
            serving = Serving(architecture, seated, workload)
        batch, limited_by = serving.best(*serving.most(fit))
        if batch == 0:
            length = workload.prompt_p95 + workload.output_p95
            what = f"a request of {length} tokens finds no room beside the weights"
            return Measured(seated, fit, limited_by=limited_by, miss=Miss(MEMORY, lambda: (what, 1.0)))
        load = serving.at(batch)
        count = speed.needed(batch, load.end_to_end, load.first_token_p95, load.rate, workload)
        return Measured(seated, fit, serving, batch, limited_by, count)

    def _seated(self, setup: Setup, plan: Resolved) -> tuple[Setup, Fit]:
        """With as many requests at once as have room: engines set memory aside for each of them."""
        fit = memory.fit(self.architecture, setup, plan)
        for seats in SEATS[setup.engine][1:] if self.fixed.max_num_seqs is None else ():
            if fit.fits:
                break
            setup = replace(setup, max_num_seqs=seats)
            fit = memory.fit(self.architecture, setup)
        return setup, fit

    def _weights_alone(self, setup: Setup, size: int) -> Miss | None:
        """What needs no arithmetic: the weights are larger than the memory."""
        device = setup.device
        have = device.usable if isinstance(device, Gpu) else device.memory
        each = self.architecture.weight_bytes / size
        if each <= have:
            return None
        a_gpu = " a GPU" if size > 1 else ""
        return Miss(MEMORY, lambda: (f"weights {gib(each)} > {gib(have)}{a_gpu}", each / have))

    def _refused(self, setup: Setup) -> Miss | None:
        """What no size of memory would mend."""
        context, most = setup.max_model_len or 0, self.architecture.context
        if context > most:
            return _never(f"context {context} > {most} tokens that the model was made for")
        unknown = _unknown(setup.engine, self.fixed)
        if unknown is not None:
            return _never(unknown)
        if not isinstance(setup.device, Gpu):
            if setup.engine != "llama.cpp":
                return _never(f"{setup.engine} serves from GPUs, and this has none")
            gguf = "on a CPU llama.cpp serves, and it reads GGUF files, which this model's is not"
            return None if self.fixed.cpu_engine else _never(gguf)
        found = memory.impossible(self.architecture, setup)
        return _never(found) if found else None


def _unknown(engine: Engine, fixed: Fixed) -> str | None:
    """What somebody decided, and this engine has no setting for."""
    facts = FACTS[engine]
    if fixed.memory_fraction is not None and facts.memory_fraction is None:
        return f"{engine} takes no share of the memory, and {fixed.memory_fraction} is asked for"
    if fixed.max_num_batched_tokens is not None and facts.batched_tokens is None:
        return f"{engine} is told no tokens of a step, and {fixed.max_num_batched_tokens} are asked for"
    if fixed.kv_dtype != "auto" and fixed.kv_dtype not in facts.kv_dtypes:
        return f"{engine} has no KV cache of type {fixed.kv_dtype}"
    return None


@cache
def _cpu(offer: Offer) -> Gpu | Cpu:
    """The offer's CPU, with the memory that the system leaves to the model."""
    left = max(offer.memory - SYSTEM_MEMORY, 1)
    return offers.device(offer.model_copy(update={"gpu": None, "memory": left}))


def fastest_first(listed: Iterable[Offer]) -> tuple[Offer, ...]:
    """In the order in which least has to be measured: what a fast CPU misses, slower ones miss as well."""
    return tuple(sorted(listed, key=lambda offer: -_cpu(offer).bandwidth))


@lru_cache(maxsize=256)
def measured_of(*_of: object) -> dict[Key, Measured]:
    """What is known already of models of the same shape, such as one and its instruction-tuned sister."""
    return {}


def _no_faster(one: Cpu, other: Cpu) -> bool:
    """Whether every latency on `one` is at least that on `other`."""
    return one.sockets == other.sockets and one.bandwidth <= other.bandwidth and one.flops <= other.flops


def _never(what: str) -> Miss:
    """What no size and no time would mend."""
    return Miss(UNSUPPORTED, lambda: (what, math.inf))


def memory_missed(setup: Setup, fit: Fit) -> tuple[str, float]:
    """Whether it is the weights or the requests that find no room. Ranges count at their worse end."""
    beside = fit.weights + fit.activations + fit.libraries + fit.graphs
    if beside.high >= fit.usable.low:
        rest = beside.high - fit.weights.high
        what = f"weights {gib(fit.weights.high)} + {gib(rest)} to run > {gib(fit.usable.low)} usable"
        return what + ("" if setup.gpus < 2 else " a GPU"), beside.high / max(fit.usable.low, 1)
    wanted, have = setup.max_model_len or 0, max(fit.max_context.low, 1)
    return f"context {wanted} > {have:.0f} tokens that fit beside the weights", wanted / have


def targets(point: Point, workload: FullWorkload) -> tuple[tuple[str, float, float], ...]:
    """What is held against each latency target, and the target: seconds, infinite where there is none."""
    return (
        ("first token", point.first_token_p95.mid, workload.first_token),
        ("time per token", point.per_token.mid, workload.per_token),
        ("end to end", point.end_to_end_p95.mid, workload.end_to_end or math.inf),
    )


def target_missed(one: Point, workload: FullWorkload) -> tuple[str, float]:
    """The first latency target that a request alone misses."""
    held = targets(one, workload)
    name, have, most = next((item for item in held if item[1] > item[2]), held[0])
    return f"{name} {seconds(have)} > {seconds(most)}", have / most
