"""A stack's model with what the catalogues know of it filled in."""

from __future__ import annotations

from slipway.errors import PlanError
from slipway.models import ResolvedModel, catalogue, parse_source
from slipway.settings.sections import Settings


def resolve_model(settings: Settings) -> ResolvedModel:
    """The stack's model with what the catalogue knows filled in. Raises `PlanError` when something is left open."""
    chosen, known = settings.model, catalogue().get(settings.model.name)
    from_catalogue = known is not None and chosen.source is None
    source = known.source if known and from_catalogue else chosen.source
    sha256 = known.sha256 if known and from_catalogue else chosen.sha256
    size = known.size if known and from_catalogue else chosen.size
    context = chosen.context or (known.context if known else None)
    if source is None or sha256 is None or size is None or context is None:
        fix = "Add source, sha256, size and context, or use a model of the catalogue"
        raise PlanError(f"{chosen.name!r} is not fully described", where="slipway:model", fix=fix)
    return ResolvedModel(chosen.name, parse_source(source), sha256, size, context, chosen.endpoint)


def architecture_name(settings: Settings) -> str:
    """The name under which the catalogue of architectures should know this stack's model."""
    chosen = settings.model
    if chosen.architecture is not None:
        return chosen.architecture
    known = catalogue().get(chosen.name)
    if known is not None and chosen.source is None:
        return known.architecture or chosen.name
    source = parse_source(chosen.source) if chosen.source is not None else None
    return source.container if source is not None and source.scheme == "hf" else chosen.name
