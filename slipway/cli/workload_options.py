"""Options, files and answers → a workload. Whatever is wrong is a `SizingError` that names the option or the file."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, TypeVar, cast, get_args

from pydantic import BaseModel, ValidationError

from slipway.cli.effects import Effects
from slipway.errors import SizingError
from slipway.memory.types import Engine
from slipway.offers import Offer
from slipway.settings import yaml_text
from slipway.settings.base import Section
from slipway.settings.explain import problems_of
from slipway.settings.sections import OwnOffer
from slipway.units import BadValueError, parse_duration, quoted
from slipway.workload import Workload, read_requests

Kind = TypeVar("Kind", bound=BaseModel)
Parsed = TypeVar("Parsed")

MOST_HOURS = 168
MOST_OFFERS = 10_000


def workload(effects: Effects, given: dict[str, Any], base: Workload, files: dict[str, str | None]) -> Workload:
    """`base` with the workload file, the options of `given` that are not None, and the requests on top of it.

    `files` may name `workload`, `profile` and `requests`. A value that an option gives wins over the file's, and either
    over what real requests say. Raises `SizingError`.
    """
    found: dict[str, Any] = {}
    if files.get("workload"):
        found |= _mapping(effects, str(files["workload"]))
    if files.get("profile"):
        found["profile"] = profile(read(effects, "--profile", str(files["profile"])), str(files["profile"]))
        found["requests_per_second"] = None
    found |= {name: value for name, value in given.items() if value is not None}
    said = validated(Workload, found, str(files.get("workload") or "workload"))
    made = base.model_copy(update={name: getattr(said, name) for name in said.model_fields_set})
    if files.get("requests"):
        where = str(files["requests"])
        made = read_requests(read(effects, "--requests", where), where=where).fill(made)
    return made


def own_offers(effects: Effects, where: str) -> tuple[Offer, ...]:
    """The offers of a YAML file: a list of them, or `offers:` with one. Raises `SizingError`."""
    data = _yaml(effects, "--offers", where)
    if isinstance(data, dict) and set(data) == {"offers"}:
        data = data["offers"]
    if not isinstance(data, list) or not data:
        raise SizingError("there is no list of offers in it", where=where, fix="Write `- provider: …` for each offer")
    if len(data) > MOST_OFFERS:
        raise SizingError(f"{len(data)} offers are more than {MOST_OFFERS}", where=where, fix="Leave most of them out")
    return tuple(validated(OwnOffer, entry, where, f"[{index}].") for index, entry in enumerate(data))


def read(effects: Effects, option: str, path: str) -> str:
    """The text of a file that an option names. Raises `SizingError`."""
    try:
        return effects.read_text(path)
    except UnicodeDecodeError:
        raise SizingError("this is no UTF-8 text", where=path, fix=f"Give {option} a text file") from None
    except (OSError, ValueError) as error:
        what = f"this cannot be read: {getattr(error, 'strerror', None) or error}"
        raise SizingError(what, where=path, fix=f"Check the path that {option} names") from None


def lengths(option: str, text: str | None) -> dict[str, int] | None:
    """`MEAN` or `MEAN,P95` tokens.

    >>> lengths("--prompt", "1024,3072"), lengths("--prompt", "200")
    ({'mean': 1024, 'p95': 3072}, {'mean': 200})
    """
    if text is None:
        return None
    match = re.fullmatch(r"\s*([0-9]{1,9})\s*(?:[,/ ]\s*([0-9]{1,9}))?\s*", text)
    if match is None:
        raise SizingError(f"{quoted(text)} is no length", where=option, fix='Write tokens, as "1024" or "1024,3072"')
    mean, p95 = match.groups()
    return {"mean": int(mean)} | ({"p95": int(p95)} if p95 else {})


def duration(option: str, text: str | None) -> str | None:
    """A duration as people write it, checked."""
    if text is not None:
        _parsed(option, parse_duration, text)
    return text


def engine(name: str) -> Engine:
    """The engine of that name, however it is spelled."""
    plain = re.sub("[^a-z]", "", name.lower())
    found = next((known for known in get_args(Engine) if re.sub("[^a-z]", "", known) == plain), None)
    if found is None:
        fix = f"Write one of {', '.join(get_args(Engine))}"
        raise SizingError(f"{quoted(name)} is no engine that Slipway knows", where="--engine", fix=fix)
    return cast("Engine", found)


def share(option: str, text: str | None) -> float | None:
    """0.4 of "40%" or "0.4".

    >>> share("--idle", "40%"), share("--idle", "0.25")
    (0.4, 0.25)
    """
    if text is None:
        return None
    match = re.fullmatch(r"\s*([0-9]{1,3}(?:\.[0-9]{1,9})?)\s*(%?)\s*", text)
    value = float(match[1]) / (100 if match[2] else 1) if match else math.nan
    if not 0 <= value < 1:
        fix = 'Write a part of all hours from 0 to below 1, such as "0.4" or "40%"'
        raise SizingError(f"{quoted(text)} is no share", where=option, fix=fix)
    return value


def rate(option: str, text: str | None) -> float | None:
    """Requests a second."""
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1e6:
        fix = "Write requests a second, such as 2 or 0.05, at most a million"
        raise SizingError(f"{quoted(text)} is no rate", where=option, fix=fix)
    return value


def profile(text: str, where: str) -> tuple[float, ...]:
    """Rates of hours: a JSON list, or numbers with spaces, commas or line ends between; # starts a comment.

    >>> profile("1, 2.5  # night\\n3", "hours")
    (1.0, 2.5, 3.0)
    """
    fix = f"Give 24 numbers, or {MOST_HOURS}: requests a second of each hour"
    if len(text) > 1_000_000:
        raise SizingError("this is larger than a million characters", where=where, fix=fix)
    if text.lstrip().startswith("["):
        try:
            values: Any = json.loads(text)
        except (ValueError, RecursionError):
            raise SizingError("this is no list of numbers", where=where, fix=fix) from None
        words = values if all(isinstance(value, (int, float)) for value in values) else ["?"]
    else:
        words = [word for line in text.splitlines() for word in re.split(r"[\s,;]+", line.partition("#")[0]) if word]
    if not 0 < len(words) <= MOST_HOURS:
        raise SizingError(f"{len(words)} numbers are in it", where=where, fix=fix)
    try:
        return tuple(float(word) for word in words)
    except (ValueError, OverflowError):
        bad = next(word for word in words if not re.fullmatch(r"[0-9.eE+-]+", str(word)))
        raise SizingError(f"{quoted(bad)} is no number", where=where, fix=fix) from None


def validated(kind: type[Kind], data: object, where: str, prefix: str = "") -> Kind:
    """The data as that kind, or every problem with the key it is at, as one `SizingError`."""
    if not isinstance(data, dict):
        raise SizingError(f"{prefix.rstrip('.') or 'this'} is no mapping", where=where, fix="Write `key: value` lines")
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        # It looks only for fields, which any model has.
        problems = problems_of(error, cast("type[Section]", kind))
    told = "; ".join(f"{prefix}{_path(loc)}: {problem.what.rstrip('.')}" for loc, problem in problems[:5])
    raise SizingError(told, where=where, fix=problems[0][1].fix.replace("slipway:", ""))


def _path(loc: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")


def _mapping(effects: Effects, where: str) -> dict[str, Any]:
    data = _yaml(effects, "--workload", where)
    if not isinstance(data, dict):
        raise SizingError("this is no mapping", where=where, fix="Write `key: value` lines, such as `mode: batch`")
    inner = data.get("workload")
    return inner if set(data) == {"workload"} and isinstance(inner, dict) else data


def _yaml(effects: Effects, option: str, where: str) -> object:
    document = yaml_text.load(read(effects, option, where))
    if document.problems:
        first = document.problems[0]
        raise SizingError(f"{first.key} {first.what}", where=where, fix=first.fix)
    return document.data


def _parsed(option: str, parse: Callable[[object], Parsed], text: str) -> Parsed:
    try:
        return parse(text)
    except BadValueError as error:
        raise SizingError(error.what, where=option, fix=error.fix) from None
