"""`gpu: auto` in a stack file: settings in, settings out with what advice chose.

What the stack file says itself always wins: advice is asked for the best answer around it.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from slipway.errors import PlanError, Problem, SettingsError, SizingError
from slipway.settings import Settings
from slipway.settings.explain import dotted
from slipway.settings.resolving import architecture_name, cloud_of, resolve_model
from slipway.settings.rules import findings
from slipway.settings.sizing_rules import AUTO
from slipway.workload import Workload

if TYPE_CHECKING:
    from slipway.advice.types import Advice, EngineChoice, Fixed
    from slipway.architectures.types import Architecture
    from slipway.memory.types import Engine
    from slipway.models import ResolvedModel
    from slipway.offers import Offer

GGUF_TYPE = re.compile(r"[.-](I?Q[0-9]_[A-Z0-9_]+|BF16|F16|F32|MXFP4)\.gguf$", re.IGNORECASE)
"""the type of the weights, as names of GGUF files end"""

MOST_QUEUE = 100_000
"""what slipway:proxy.queue takes"""


def settled(settings: Settings) -> tuple[Settings, Advice | None]:
    """The settings with everything decided, and the advice that decided it; None where `gpu` asks for nothing.

    Raises PlanError when nothing that the provider has meets the targets, or the model's architecture is not known, and
    SettingsError when what was chosen does not go with the rest, such as a release without GPUs.
    """
    if settings.gpu is None:
        return settings, None
    try:
        found = advised(settings, shown=1)
    except SizingError as error:
        raise PlanError(error.what, where=f"slipway:gpu ({error.where})", fix=error.fix) from None
    if found.chosen is None:
        first, second, relax = found.summary
        raise PlanError(f"{first}; {second}", where="slipway:gpu", fix=relax)
    done = _filled(settings, found.chosen.choice, found.chosen.hosts, found.chosen.offer)
    wrong = findings(done)
    if wrong:
        problems = tuple(Problem(dotted(item.loc), item.what, item.fix) for item in wrong)
        raise SettingsError(f"chosen for slipway:gpu ({found.summary[0]})", problems)
    return done, found


def advised(settings: Settings, *, shown: int) -> Advice:
    """What advice says of a stack file, whether it asks for it or not; with reasons for the first `shown` options.

    Raises PlanError when the model's architecture is not known, and SizingError for a workload that cannot be.
    """
    # Advice takes time to import, and most plans need none.
    from slipway.advice import advise  # noqa: PLC0415

    model = resolve_model(settings)
    names = tuple(name for name in settings.gpu or () if name != AUTO)
    return advise(
        architecture_of(settings, model),
        _workload(settings),
        offers_of(settings),
        engine=_engine(settings, model),
        engine_version=settings.engine.version,
        gpus=names or None,
        fixed=_fixed(settings, model),
        shown=shown,
    )


def architecture_of(settings: Settings, model: ResolvedModel) -> Architecture:
    """The architecture of the stack's model, with the bytes of the file that it will load.

    Raises PlanError when it is not known.
    """
    from slipway.architectures import catalogue  # noqa: PLC0415

    try:
        known = catalogue.find(architecture_name(settings))
    except SizingError as error:
        fix = f"Add architecture: the repository id of a model of the same architecture. {error.fix}"
        raise PlanError(error.what, where="slipway:model.architecture", fix=fix) from None
    found = dataclasses.replace(known, name=model.name, file_bytes=model.size)
    kind = GGUF_TYPE.search(model.source.basename)
    if kind is None:
        return found
    # As if every part shrank alike, which a file's own mix does not quite do: what is read in 4 bits is read otherwise.
    ratio = model.size / sum(part.bytes for part in known.parts)
    parts = tuple(dataclasses.replace(part, bits=part.bits * ratio) for part in known.parts)
    return dataclasses.replace(found, parts=parts, quantization=f"gguf:{kind[1].upper()}")


def offers_of(settings: Settings) -> Sequence[Offer]:
    """What the provider has: the machine of slipway:local, the hosts of the inventory, or the price list."""
    from slipway import offers  # noqa: PLC0415

    local = settings.local
    if settings.provider == "local":
        machine = offers.Offer(
            provider="local", instance="machine", vcpus=local.cpus, memory=local.memory, price=0,
            source="slipway:local", date="",
        )  # fmt: skip
        return (machine,)
    own = tuple(offer for offer in settings.offers if offer.provider == settings.provider)
    if settings.provider == "ssh":
        return own
    replaced = {(offer.instance, offer.region) for offer in own}
    listed = (offer for offer in offers.offers() if offer.provider == settings.provider)
    every = (*own, *(offer for offer in listed if (offer.instance, offer.region) not in replaced))
    cloud = cloud_of(settings)
    wanted = cloud.instance if cloud is not None else None
    return every if wanted is None else tuple(offer for offer in every if offer.instance == wanted)


def _workload(settings: Settings) -> Workload:
    """The workload, no longer than the context that the stack file gives the model."""
    asked = settings.workload or Workload()
    if asked.context is None and settings.model.context is not None:
        return asked.model_copy(update={"context": settings.model.context})
    return asked


def _engine(settings: Settings, model: ResolvedModel) -> Engine | None:
    """What the stack file names, else what reads the model's file: GGUF is llama.cpp's."""
    if "name" in settings.engine.model_fields_set:
        return cast("Engine", settings.engine.name)
    return "llama.cpp" if _is_gguf(model) else None


def _is_gguf(model: ResolvedModel) -> bool:
    return model.source.basename.lower().endswith(".gguf")


def _fixed(settings: Settings, model: ResolvedModel) -> Fixed:
    """What the stack file decides itself. The machines of the local stack share one computer, so their number is
    as given; so is that of hosts that exist already."""
    from slipway.advice.types import Fixed  # noqa: PLC0415

    engine, proxy, hosts = settings.engine, settings.proxy, settings.hosts
    said = engine.model_fields_set
    limit = hosts.count if settings.provider == "local" or "count" in hosts.model_fields_set else None
    return Fixed(
        gpus=engine.gpus if "gpus" in said else None,
        tensor_parallel=engine.tensor_parallel if "tensor_parallel" in said else None,
        replicas=engine.replicas if "replicas" in said else None,
        hosts=len(settings.ssh.inventory) if settings.provider == "ssh" else limit,
        max_model_len=settings.model.context,
        max_num_seqs=proxy.concurrency if "concurrency" in proxy.model_fields_set else None,
        max_num_batched_tokens=engine.max_batched_tokens,
        memory_fraction=engine.memory_fraction,
        kv_dtype=engine.kv_dtype,
        cpu_engine=_is_gguf(model),
    )


def _filled(settings: Settings, choice: EngineChoice, hosts: int, offer: Offer) -> Settings:
    """The settings with the choice in every place that the stack file leaves open."""
    on_gpu = choice.gpus > 0
    engine: dict[str, Any] = {
        "name": choice.engine,
        "gpus": choice.gpus,
        "tensor_parallel": choice.tensor_parallel,
        "replicas": choice.replicas,
        "shm": choice.shm_bytes,
    }
    if on_gpu and choice.memory_fraction is not None:
        engine["memory_fraction"] = choice.memory_fraction
    if choice.max_num_batched_tokens is not None:
        engine["max_batched_tokens"] = choice.max_num_batched_tokens
    proxy = {
        "concurrency": choice.concurrency,
        "queue": min(choice.queue, MOST_QUEUE),
        "queue_timeout": choice.queue_timeout,
        "stream_timeout": float(math.ceil(choice.stream_timeout)),
    }
    sections: dict[str, dict[str, Any]] = {
        "engine": engine,
        "proxy": proxy,
        "model": {"context": choice.max_model_len},
    }
    if settings.provider not in ("local", "ssh"):
        count = ("pool", "nodes") if settings.kind == "node-pool" else ("hosts", "count")
        sections[count[0]] = {count[1]: hosts}
    cloud = cloud_of(settings)
    if cloud is not None:
        sections[settings.provider] = {cloud.INSTANCE: offer.instance}
    update: dict[str, Any] = {"gpu": None}
    for name, values in sections.items():
        section = getattr(settings, name)
        unsaid = {key: value for key, value in values.items() if key not in section.model_fields_set}
        update[name] = section.model_copy(update=unsaid)
    return settings.model_copy(update=update)
