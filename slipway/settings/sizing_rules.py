"""Rules about `gpu`, `offers` and `workload`: what advice could make nothing of."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator

from slipway import cpus, gpus
from slipway import workload as workloads
from slipway.errors import SizingError
from slipway.models import catalogue
from slipway.settings.finding import Finding
from slipway.settings.resolving import architecture_name
from slipway.settings.sections import Settings

AUTO = "auto"


def gpu(settings: Settings) -> Iterator[Finding]:
    names = settings.gpu
    if names is None:
        return
    if not names:
        yield Finding(("gpu",), "this names no GPU", "Write auto, or the names of GPUs that will do")
    if AUTO in names and len(names) > 1:
        yield Finding(("gpu",), "auto takes any GPU, and names stand beside it", "Write auto, or names only")
    for index, name in enumerate(names):
        if name == AUTO:
            continue
        loc = ("gpu",) if len(names) == 1 else ("gpu", index)
        try:
            gpus.find_gpu(name)
        except SizingError as error:
            yield Finding(loc, error.what, error.fix)
    named = [name for name in names if name != AUTO]
    count = settings.engine.gpus if "gpus" in settings.engine.model_fields_set else None
    if named and count == 0:
        what = f"gpus is 0, and slipway:gpu names {named[0]}"
        yield Finding(("engine", "gpus"), what, "Take one of the two out", (("gpu",),))
    if named and settings.provider == "local":
        what = f"a local machine has no GPU, and this names {named[0]}"
        yield Finding(("gpu",), what, "Write gpu: auto, or use another provider", (("provider",),))
    if settings.engine.name == "custom":
        what = "of a custom engine nothing is known by which to choose a GPU"
        yield Finding(("gpu",), what, "Take it out, or use llama.cpp, vllm or sglang", (("engine", "name"),))
    if settings.provider == "ssh" and not any(offer.provider == "ssh" for offer in settings.offers):
        what = "what the hosts of the inventory are is not known, so that nothing can be chosen for them"
        fix = "Add slipway:offers with one entry: provider ssh, instance, vcpus, memory, price, and gpu and gpus"
        yield Finding(("gpu",), what, fix, (("provider",), ("offers",)))


def offers(settings: Settings) -> Iterator[Finding]:
    for index, offer in enumerate(settings.offers):
        where = ("offers", index)
        if (offer.gpu is None) != (offer.gpus == 0):
            what = f"gpu is {offer.gpu or 'not there'}, and gpus is {offer.gpus}"
            yield Finding((*where, "gpus"), what, "Write both, or neither for a host without GPUs")
        for field, name, find in (("gpu", offer.gpu, gpus.find_gpu), ("cpu", offer.cpu, cpus.find_cpu)):
            if name is None:
                continue
            try:
                find(name)
            except SizingError as error:
                yield Finding((*where, field), error.what, error.fix)
    if settings.provider == "ssh":
        several = [index for index, offer in enumerate(settings.offers) if offer.provider == "ssh"]
        for index in several[1:]:
            what = "there are two offers of the provider ssh, and the hosts of one stack are alike"
            yield Finding(("offers", index), what, "Keep the one that says what each host of the inventory is")


def workload(settings: Settings) -> Iterator[Finding]:
    if settings.workload is None:
        return
    if settings.gpu is not None and settings.workload.purpose != "inference":
        what = f"a stack serves a model, and the purpose is {settings.workload.purpose}"
        yield Finding(("workload", "purpose"), what, "Take it out; `slipway advise` answers for fine-tuning")
    known = catalogue().get(settings.model.name)
    longest = settings.model.context or (known.context if known and settings.model.source is None else None)
    if longest is not None and (settings.workload.context or 0) > longest:
        what = f"{settings.workload.context} tokens are more than the {longest} of a request to {settings.model.name}"
        fix = f"Write {longest} or fewer, or raise slipway:model.context"
        yield Finding(("workload", "context"), what, fix, (("model", "context"),))
    try:
        workloads.assume(settings.workload)
    except SizingError as error:
        field = error.where.rsplit(".", 1)[-1]
        at = (field,) if field in type(settings.workload).model_fields else ()
        yield Finding(("workload", *at), error.what, error.fix)


def architecture(settings: Settings) -> Iterator[Finding]:
    """`gpu` needs a model whose architecture is known, which for one of the model catalogue is written there."""
    chosen = settings.model
    if settings.gpu is None and chosen.architecture is None:
        return
    # The catalogue is large, and few stack files need it.
    from slipway.architectures import catalogue as architectures  # noqa: PLC0415

    try:
        architectures.find(architecture_name(settings))
    except SizingError as error:
        if chosen.architecture is not None:
            near = difflib.get_close_matches(chosen.architecture, architectures.names(), n=3)
            fix = f"Did you mean {' or '.join(near)}?" if near else "Write a repository id, such as Qwen/Qwen3-8B"
            yield Finding(("model", "architecture"), error.what, fix)
            return
        what = f"the architecture of {chosen.name!r} is not known, so that its memory cannot be computed"
        fix = "Add architecture: the repository id of a model of the same architecture, such as Qwen/Qwen3-8B"
        yield Finding(("model", "name"), what, fix, (("model", "architecture"),))


RULES: tuple[Callable[[Settings], Iterator[Finding]], ...] = (gpu, offers, workload, architecture)
