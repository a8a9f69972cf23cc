"""Property values as the models of `slipway.desired`, also while some are not known yet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from bootstrap.plugin.codec import UNKNOWN, PropertyPath, leaves
from bootstrap.plugin.resource import Failure

if TYPE_CHECKING:
    from slipway.desired import Desired

    Model = TypeVar("Model", bound=Desired)

PLACEHOLDER = "unknown"
"""stands in for what is not known; what a model says about it is left out"""


def problems(model: type[Desired], value: Any, path: PropertyPath) -> Iterable[Failure]:
    """What is wrong with `value` as a `model`, each with its property path. Unknown parts are taken to be right."""
    import pydantic  # noqa: PLC0415  a third of a second that most commands do not need

    if value is UNKNOWN:
        return
    unknowns = {found for found, leaf in leaves(value) if leaf is UNKNOWN}
    try:
        model.model_validate(_known(value))
    except pydantic.ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            if not any(_related(problem["loc"], unknown) for unknown in unknowns):
                yield Failure((*path, *problem["loc"]), problem["msg"])


def parse(model: type[Model], value: Any) -> Model:
    """A checked value as a `model`."""
    return model.model_validate(value)


def _known(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _known(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_known(item) for item in value]
    return PLACEHOLDER if value is UNKNOWN else value


def _related(one: PropertyPath, other: PropertyPath) -> bool:
    length = min(len(one), len(other))
    return one[:length] == other[:length]
