"""What one resource of the provider implements, and how it declares its properties.

Values are plain: secrets are in the clear here, and an `UNKNOWN` is met only in `check`, `diff` and `preview`. The
servicer wraps secrets, merges inputs into outputs, turns errors into diagnostics and compares inputs.
"""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from bootstrap.plugin.codec import UNKNOWN, PropertyPath, Values
from bootstrap.plugin.diffs import Change
from bootstrap.plugin.operation import Operation
from slipway.errors import SlipwayError

Type = Literal["string", "integer", "number", "boolean", "array", "object"]

_PYTHON_TYPES: dict[Type, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


@dataclass(frozen=True)
class Input:
    """One input property. `replace`: a change needs a new resource. `quiet`: a change alone is nothing to do.
    `default` is filled in when work is done and is never stored, so that a new default in a later version is no
    difference."""

    name: str
    type: Type
    about: str
    required: bool = True
    secret: bool = False
    replace: bool = False
    quiet: bool = False
    default: Any = None


@dataclass(frozen=True)
class Output:
    """One output property besides the inputs. `stable`: an update in place does not change it."""

    name: str
    type: Type
    about: str
    secret: bool = False
    stable: bool = False


@dataclass(frozen=True)
class Failure:
    """Why an input is refused; `path` names the property, however deep."""

    path: PropertyPath
    reason: str


class Resource(ABC):
    """One kind of resource. An instance is shared by all threads and keeps no state of its own."""

    token: ClassVar[str]
    """`slipway:index:Name`"""
    about: ClassVar[str]
    inputs: ClassVar[tuple[Input, ...]]
    outputs: ClassVar[tuple[Output, ...]] = ()
    delete_before_replace: ClassVar[bool] = False

    def check(self, inputs: Values) -> Iterable[Failure]:
        """Problems beyond presence and type of the declared inputs."""
        del inputs
        return ()

    def diff(self, outputs: Values, inputs: Values, now: float) -> Iterable[Change]:
        """Changes beyond those of the inputs: drift, expiry. `outputs` is the state, `inputs` the new inputs."""
        del outputs, inputs, now
        return ()

    def warnings(self, inputs: Values, outputs: Values, now: float) -> Iterable[str]:
        """What a preview of an update should say beside its differences. `outputs` is the state."""
        del inputs, outputs, now
        return ()

    def preview(self, inputs: Values, outputs: Values | None) -> Values:
        """Outputs as far as they are known before the work is done; `outputs` is the state of an update."""
        del inputs
        known = outputs or {}
        return {output.name: known.get(output.name, UNKNOWN) if output.stable else UNKNOWN for output in self.outputs}

    @abstractmethod
    def create(self, operation: Operation, inputs: Values) -> tuple[str, Values]:
        """Do the work; return an id and the outputs (without the inputs). Raises SlipwayError."""

    def read(self, operation: Operation, resource_id: str, inputs: Values, outputs: Values) -> Values | None:
        """Outputs as the world is now; None when the resource is gone. By default nothing outside can change."""
        del operation, resource_id, inputs
        return outputs

    def adopt(self, operation: Operation, resource_id: str) -> tuple[Values, Values] | None:
        """Inputs and outputs of something that exists, by its id; None when there is no such thing."""
        del operation
        raise SlipwayError(
            f"a {self.token.rsplit(':', 1)[-1]} cannot be imported",
            where=resource_id,
            fix="Remove the `import_` option; `pulumi up` creates it.",
        )

    def update(self, operation: Operation, resource_id: str, inputs: Values, outputs: Values) -> Values:
        """Bring it to `inputs`, also after an earlier operation died half way; return the outputs."""
        raise NotImplementedError(f"{self.token} is replaced, never updated ({resource_id}, {operation.urn})")

    def delete(self, operation: Operation, resource_id: str, inputs: Values, outputs: Values) -> None:  # noqa: B027
        """Remove it; to remove what is gone already is no error. By default there is nothing outside to remove."""

    @property
    def secret_names(self) -> frozenset[str]:
        """Inputs and outputs that are secret whatever the program says."""
        declared: tuple[Input | Output, ...] = (*self.inputs, *self.outputs)
        return frozenset(known.name for known in declared if known.secret)

    def with_defaults(self, inputs: Values) -> Values:
        defaults = {known.name: known.default for known in self.inputs if known.default is not None}
        return {**defaults, **inputs}

    def check_declared(self, inputs: Values) -> Iterable[Failure]:
        """Unknown names, missing inputs, wrong types."""
        declared = {known.name: known for known in self.inputs}
        for name in inputs.keys() - declared.keys():
            close = difflib.get_close_matches(name, declared, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(declared))}."
            yield Failure((name,), f"there is no such input; {hint}")
        for known in self.inputs:
            value = inputs.get(known.name)
            if value is None:
                if known.required:
                    yield Failure((known.name,), f"is missing: {known.about}")
            elif value is not UNKNOWN and not _is(value, known.type):
                yield Failure((known.name,), f"must be of type {known.type}, not {type(value).__name__}")


def _is(value: Any, wanted: Type) -> bool:
    return isinstance(value, _PYTHON_TYPES[wanted]) and (wanted == "boolean" or not isinstance(value, bool))
