"""Rules about `weights`: the model comes out of the bucket that is made, with the keys that are made."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from slipway.models import parse_source
from slipway.settings.finding import Finding
from slipway.settings.sections import Settings
from slipway.settings.weights import NO_S3, STORES


def weights(settings: Settings) -> Iterator[Finding]:
    chosen, model = settings.weights, settings.model
    if chosen is None:
        return
    if settings.provider not in STORES:
        what = f"{NO_S3.get(settings.provider, '')}no bucket is made at the provider {settings.provider}"
        fix = f"Take it out, and name a bucket that exists in slipway:model; providers with one: {', '.join(STORES)}"
        yield Finding(("weights",), what, fix, (("provider",),))
        return
    source = parse_source(model.source) if model.source is not None else None
    if source is None or (source.scheme, source.container) != ("s3", chosen.bucket):
        named = model.source or "a file of the catalogue"
        what = f"the bucket {chosen.bucket} is made for weights, and the model is {named}"
        fix = f"Write s3://{chosen.bucket}/ and the file's key, or take slipway:weights out"
        yield Finding(("model", "source"), what, fix, (("weights", "bucket"), ("model", "name")))
    for name in ("endpoint", "region"):
        if name in model.model_fields_set:
            what = f"the {name} of a bucket that is made is known once it is there"
            yield Finding(("model", name), what, "Take it out", (("weights",),))
    for name in ("model_access_key", "model_secret_key"):
        if getattr(settings, name) is not None:
            what = "the keys of a bucket that is made are made with it"
            yield Finding((name,), what, f"Run `pulumi config rm slipway:{name}`", (("weights",),))


RULES: tuple[Callable[[Settings], Iterator[Finding]], ...] = (weights,)
