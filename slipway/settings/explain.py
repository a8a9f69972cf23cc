"""From pydantic's errors to problems: the key, what is wrong with its value, and what would be right."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from slipway.errors import Problem
from slipway.settings.azure import IMAGE as AZURE_IMAGE
from slipway.settings.base import NAMESPACE, Section
from slipway.units import BadValueError, quoted

Loc = tuple[int | str, ...]

IN_QUOTES = "Put quotes around it, as it stands in the file"
SECRETS = ("api_key", "ssh_private_key", "model_token", "model_access_key", "model_secret_key")
NOT_ENCRYPTED = "this secret is not encrypted, so that everybody who reads the file has it"
NOT_SECRET = "this value is encrypted, and only " + ", ".join(f"{NAMESPACE}:{key}" for key in SECRETS) + " are secrets"

PATTERNS = {
    r"^[0-9a-f]{64}$": "Write 64 lower-case hex digits, as `sha256sum FILE` prints them",
    r"^sha256:[0-9a-f]{64}$": "Write sha256: and 64 lower-case hex digits",
    r"^[A-Za-z_][A-Za-z0-9_]*$": "Use letters, digits and underscores, and no digit first",
    r"^[a-z_][a-z0-9_-]{0,31}$": "Use lower-case letters, digits, hyphens and underscores, and no digit first",
    r"^(100|[0-9]{1,2}(\.[0-9]+)?)%$": 'Write a share, such as "1%" or "0.5%"',
    r"^v?[0-9]+(\.[0-9]+){0,3}(\.x)?$": 'Write a version, such as "0.21.0" or "0.6.x"',
    r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$": "Use letters, digits and . _ / -, at most 128, and a letter or digit first",
    r"^[a-z]{2}-[a-z]{3}[0-9]$": "Write a zone, such as fi-hel2; `upctl zone list` lists them",
    r"^[a-z]{2,}-[0-9]{1,2}$": "Write a region, such as europe-1; `upctl object-storage regions` lists them",
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$": "Write a plan, such as 4xCPU-8GB; `upctl server plans` lists them",
    r"^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$": (
        "Write a template's UUID; `upctl storage list --public --template` lists them"
    ),
    r"^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$": "Use 3 to 63 lower-case letters, digits and hyphens, and no hyphen at an end",
    r"^[a-z]{2}(-[a-z]+)+-[0-9][a-z]$": (
        "Write an availability zone, such as eu-north-1a; `aws ec2 describe-availability-zones` lists them"
    ),
    r"^[a-z][a-z0-9-]*\.[a-z0-9-]+$": (
        "Write an instance type, such as g6e.xlarge; `aws ec2 describe-instance-type-offerings` lists those of a region"
    ),
    r"^ami-[0-9a-f]{8,17}$": "Write the id of an AMI, such as ami-0123456789abcdef0; they differ from region to region",
    r"^vpc-[0-9a-f]{8,17}$": "Write the id of a VPC, such as vpc-0123456789abcdef0",
    r"^subnet-[0-9a-f]{8,17}$": "Write ids of subnets, such as subnet-0123456789abcdef0",
    r"^[a-z][a-z0-9-]{4,28}[a-z0-9]$": "Write the id of a project, as `gcloud projects list` has it",
    r"^[a-z]+-[a-z]+[0-9]{1,2}-[a-z]$": "Write a zone, such as europe-west4-a; `gcloud compute zones list` lists them",
    r"^[a-z][a-z0-9]{1,7}(-[a-z0-9]+)+$": (
        "Write a machine type, such as g2-standard-8; `gcloud compute machine-types list` lists those of a zone"
    ),
    r"^nvidia-[a-z0-9-]{1,56}$": (
        "Write a GPU, such as nvidia-tesla-t4; `gcloud compute accelerator-types list` lists them"
    ),
    r"^projects/[a-z][a-z0-9.:-]{1,62}/global/images/[a-z]([a-z0-9-]{0,61}[a-z0-9])?$": (
        "Write one image, projects/PROJECT/global/images/NAME, and no family of images, which moves"
    ),
    r"^[a-z][a-z0-9_-]{0,62}$": "Use lower-case letters, digits, hyphens and underscores, at most 63, a letter first",
    r"^[a-z0-9_-]{0,63}$": "Use lower-case letters, digits, hyphens and underscores, at most 63",
    r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$": (
        "Write the id of a subscription, as `az account list --output table` has it"
    ),
    r"^[a-z]{3,}[a-z0-9]*$": (
        "Write a region, such as swedencentral; `az account list-locations --output table` lists them"
    ),
    r"^Standard_[A-Za-z0-9][A-Za-z0-9_-]{1,60}$": (
        "Write a size, such as Standard_NC24ads_A100_v4; `az vm list-skus --output table` lists them"
    ),
    AZURE_IMAGE: (
        "Write one image, publisher:offer:sku:version or the id of an image or a gallery image's version, and not "
        "latest, which moves"
    ),
    r"^[a-z][a-z0-9-]{1,61}[a-z0-9]$": (
        "Use 3 to 63 lower-case letters, digits and hyphens, a letter first and no hyphen at the end"
    ),
    r"^[A-Za-z0-9][A-Za-z0-9._-]{1,31}$": "Use 2 to 32 letters, digits and . _ -, and a letter or digit first",
}


def dotted(loc: Sequence[int | str]) -> str:
    """`slipway:ssh.inventory[0].host_key` of ("ssh", "inventory", 0, "host_key")."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return f"{NAMESPACE}:{text}"


def problems_of(error: ValidationError, root: type[Section]) -> list[tuple[Loc, Problem]]:
    """One problem for each place, with the place."""
    found: dict[Loc, Problem] = {}
    for details in error.errors(include_url=False):
        loc = tuple(part for part in details["loc"] if part != "[key]")
        if loc[0] in SECRETS:
            fix = f"Use a new one, and set it with `pulumi config set --secret {dotted(loc[:1])}`"
            found[loc[:1]] = Problem(dotted(loc[:1]), NOT_ENCRYPTED, fix)
            continue
        found.setdefault(loc, explain(loc, details, root))
    return list(found.items())


def explain(loc: Loc, details: ErrorDetails, root: type[Section]) -> Problem:  # noqa: PLR0911 - a table of cases
    """The problem that one of pydantic's errors stands for."""
    kind, value, context = details["type"], details["input"], details.get("ctx", {})
    key = dotted(loc)
    if kind == "extra_forbidden":
        return _unknown(loc, root)
    if kind == "missing":
        return Problem(key, "this is needed and is not there", _needed_fix(loc))
    inner = context.get("error")
    if isinstance(inner, BadValueError):
        return Problem(key, inner.what, inner.fix)
    if kind == "string_pattern_mismatch":
        fix = PATTERNS.get(context["pattern"], f"It has to match {context['pattern']}")
        return Problem(key, f"{quoted(value)} does not fit", fix)
    if kind == "literal_error":
        return _literal(key, value, context["expected"])
    if kind in _BOUNDS:
        return _bound(key, kind, value, context, _bounds(loc, root))
    return Problem(key, *_wrong_type(loc, kind, value, root))


_BOUNDS = {"greater_than_equal", "less_than_equal", "greater_than", "less_than"}


def _bound(key: str, kind: str, value: Any, context: dict[str, Any], bounds: tuple[Any, Any]) -> Problem:
    low, high = bounds
    limit = f"{next(iter(context.values())):g}"
    if kind in ("greater_than", "less_than"):
        side = "more" if kind == "greater_than" else "less"
        return Problem(key, f"{value} is not {side} than {limit}", f"Write {side} than {limit}")
    side = "less than" if kind.startswith("greater") else "more than"
    fix = f"Write a number from {low} to {high}" if low is not None and high is not None else f"Write {limit} or more"
    return Problem(key, f"{value} is {side} {limit}", fix)


def _literal(key: str, value: object, expected: str) -> Problem:
    names = re.findall(r"'([^']+)'", expected)
    near = nearest(value, names) if isinstance(value, str) else None
    fix = f"Did you mean {near}? It is one of {', '.join(names)}" if near else f"Write one of {', '.join(names)}"
    return Problem(key, f"{quoted(value)} is not known", fix)


def _unknown(loc: Loc, root: type[Section]) -> Problem:
    key, name = dotted(loc), str(loc[-1])
    if name == "secure":
        return Problem(dotted(loc[:-1]), NOT_SECRET, "Set it again without --secret")
    known = list(model_at(loc[:-1], root).model_fields)
    near = nearest(name, known) or nearest(name.replace("-", "_").lower(), known)
    fix = f"Did you mean {near}?" if near else f"The keys here are {', '.join(known)}"
    what = f"{quoted(name)} is no setting" + ("" if len(loc) == 1 else f" of {dotted(loc[:-1])}")
    return Problem(key, what, fix)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was probably meant to be."""
    found = difflib.get_close_matches(name, list(known), n=1)
    return found[0] if found else None


def _needed_fix(loc: Loc) -> str:
    if loc == ("release",):
        return "Name a release; `slipway releases` lists them"
    if loc == ("provider",):
        return "Write where the hosts come from: local, ssh, upcloud, aws, gcp, azure or kubernetes"
    if loc[-1] == "model":
        return "Name a model, such as smollm2-135m-instruct"
    return f"Add {loc[-1]}"


def _wrong_type(loc: Loc, kind: str, value: object, root: type[Section]) -> tuple[str, str]:  # noqa: PLR0911
    shown = quoted(value)
    if isinstance(value, dict) and set(value) == {"secure"}:
        return NOT_SECRET, "Set it again without --secret"
    if value is None:
        return "there is no value after the colon", "Write one, or take the line out"
    if kind.startswith("model_"):
        keys = ", ".join(model_at(loc, root).model_fields)
        return f"{shown} stands where a section belongs", f"Write a mapping with some of the keys {keys}"
    if kind in ("tuple_type", "list_type"):
        return f"{shown} is no list", "Write a list, one item a line, each after a hyphen"
    if kind in ("dict_type", "mapping_type"):
        return f"{shown} is no mapping", "Write `name: value` lines under it"
    if kind == "string_type" and isinstance(value, (bool, int, float)):
        return f"YAML reads this as {'true or false' if isinstance(value, bool) else f'the number {value}'}", IN_QUOTES
    if kind == "string_type":
        return f"{shown} is no text", "Write one text"
    if kind.startswith("int_"):
        number = isinstance(value, str) and re.fullmatch(r"-?[0-9]+", value)
        low, high = _bounds(loc, root)
        span = f" from {low} to {high}" if high is not None else f", {low} or more" if low is not None else ""
        fix = f"Write {value} without quotes" if number else f"Write a whole number{span}"
        return f"{shown} is no whole number" if not number else f"{shown} is text, not a number", fix
    if kind.startswith("float_"):
        return f"{shown} is no number", "Write a number, such as 0.9"
    return f"{shown} is not right: {kind.replace('_', ' ')}", "See docs/stack.schema.json for what fits here"


def model_at(loc: Loc, root: type[Section]) -> type[BaseModel]:
    """The model that holds the keys at `loc`."""
    model: type[BaseModel] = root
    for part in loc:
        if isinstance(part, str) and part in model.model_fields:
            inner = _model_in(model.model_fields[part].annotation)
            model = inner or model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _model_in(argument)
        if found is not None:
            return found
    return None


def _bounds(loc: Loc, root: type[Section]) -> tuple[Any, Any]:
    """Smallest and largest number that fits at `loc`, as the schema says; None where there is no limit."""
    names = [part for part in loc if isinstance(part, str)]
    field = model_at(tuple(names[:-1]), root).model_fields.get(names[-1])
    if field is None:
        return None, None
    schema = TypeAdapter(field.rebuild_annotation()).json_schema()
    options = [schema, *schema.get("anyOf", ())]
    return next((o["minimum"] for o in options if "minimum" in o), None), next(
        (o["maximum"] for o in options if "maximum" in o), None
    )
