"""From a stack file, or from Pulumi's configuration, to settings; or to every problem at once."""

from __future__ import annotations

import copy
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from slipway.errors import Problem, SettingsError
from slipway.models import catalogue
from slipway.releases import load_releases
from slipway.settings import yaml_text
from slipway.settings.base import NAMESPACE
from slipway.settings.explain import SECRETS, Loc, dotted, nearest, problems_of
from slipway.settings.rules import findings
from slipway.settings.sections import Settings

PULUMI_KEYS = ("config", "encryptionsalt", "secretsprovider", "encryptedkey", "environment")
"""what Pulumi allows at the top of a stack file. https://www.pulumi.com/docs/reference/yaml/stack-settings/"""

ENCRYPTED = {"secure": "in Pulumi's configuration"}


@dataclass(frozen=True, order=True)
class FileProblem(Problem):
    """A problem whose line is known."""

    line: int = 0

    def __str__(self) -> str:
        return f"{self.key} (line {self.line}): {self.what.rstrip('.')}. {self.fix}".rstrip()


def parse_stack_file(text: str, source: str) -> Settings:
    """The settings in the text of `Pulumi.<stack>.yaml`.

    `source` is the file's name, for messages. Raises `SettingsError` with every problem, in the order of the lines.
    """
    document = yaml_text.load(text)
    problems = list(document.problems)
    data = document.data
    if data is None:
        if not problems:
            problems = [Problem("(file)", "this file is empty", f"Write `config:` and {NAMESPACE}:… keys under it")]
        raise SettingsError(source, tuple(problems))
    if not isinstance(data, dict):
        problems.append(Problem("(file)", "this is no mapping", f"Write `config:` and {NAMESPACE}:… keys under it"))
        raise SettingsError(source, tuple(problems))
    placed = _top_keys(data)
    settings = None
    config = data.get("config")
    if isinstance(config, dict):
        placed += _namespaces(config)
        values = {key.split(":", 1)[1]: value for key, value in config.items() if key.startswith(f"{NAMESPACE}:")}
        settings, wrong = _validate(values)
        placed += [(("config", f"{NAMESPACE}:{loc[0]}", *loc[1:]), problem) for loc, problem in wrong]
    elif config is not None or not any("config" in problem.fix for _, problem in placed):
        what = "there is no configuration" if config is None else "this is no mapping"
        placed.append((("config",), Problem("config", what, f"Write `config:` and {NAMESPACE}:… keys under it")))
    problems += _with_lines(placed, document.lines)
    if settings is None or problems:
        raise SettingsError(source, tuple(problems))
    return settings


def settings_from_config(values: Mapping[str, object], source: str, secrets: Collection[str] = SECRETS) -> Settings:
    """The settings in Pulumi's configuration of this project.

    `values` holds decoded values by key without the namespace (see `decode_config`); `secrets` names those that
    Pulumi keeps encrypted; by default, any secret there is counts as kept so. A secret's value is neither looked at nor
    kept. Raises `SettingsError`.
    """
    settings, wrong = _validate({key: ENCRYPTED if key in secrets else value for key, value in values.items()})
    if settings is None or wrong:
        raise SettingsError(source, tuple(problem for _, problem in wrong))
    return settings


def decode_config(raw: Mapping[str, str]) -> dict[str, object]:
    """Pulumi's own map of configuration, `{"slipway:model": '{"name": …}'}`, as `settings_from_config` takes it.

    Pulumi hands over sections as JSON and single values as plain text; keys of other namespaces are left out.
    """
    values: dict[str, object] = {}
    for key, text in raw.items():
        namespace, _, name = key.partition(":")
        if namespace != NAMESPACE:
            continue
        try:
            values[name] = json.loads(text) if text.lstrip()[:1] in ("{", "[") else text
        except ValueError:
            values[name] = text
    return values


def _top_keys(data: Mapping[str, object]) -> list[tuple[Loc, Problem]]:
    found: list[tuple[Loc, Problem]] = []
    for key in data:
        if key in PULUMI_KEYS:
            continue
        if key.startswith(f"{NAMESPACE}:"):
            problem = Problem(key, "this stands beside `config:`, not under it", "Indent it under `config:`")
        else:
            near = nearest(key, PULUMI_KEYS)
            fix = f"Did you mean {near}?" if near else f"Pulumi knows {', '.join(PULUMI_KEYS)} here"
            problem = Problem(key, f"{key!r} is no key of a stack file", fix)
        found.append(((key,), problem))
    return found


def _namespaces(config: Mapping[str, object]) -> list[tuple[Loc, Problem]]:
    """Keys that Pulumi would refuse, or that were meant to be ours."""
    found: list[tuple[Loc, Problem]] = []
    for key in config:
        namespace, colon, name = key.partition(":")
        if not colon or not name:
            near = nearest(key, Settings.model_fields)
            fix = f"Write {NAMESPACE}:{near or key}"
            found.append((("config", key), Problem(key, "this key has no namespace", fix)))
        elif namespace != NAMESPACE and nearest(namespace.lower(), [NAMESPACE]) and name in Settings.model_fields:
            what = f"the namespace {namespace!r} is not Slipway's, so that this would be ignored"
            found.append((("config", key), Problem(key, what, f"Write {NAMESPACE}:{name}")))
    return found


def _validate(values: Mapping[str, object]) -> tuple[Settings | None, list[tuple[Loc, Problem]]]:
    """Settings, if there can be any, and every problem with its place."""
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        wrong = problems_of(error, Settings)
        reported = [loc for loc, _ in wrong]
        try:
            rest = Settings.model_validate(_with_stand_ins(_without(values, reported)))
        except ValidationError:
            return None, wrong
        return None, wrong + [
            (found.loc, Problem(dotted(found.loc), found.what, found.fix))
            for found in findings(rest)
            if not any(_related(loc, used) for loc in reported for used in (found.loc, *found.uses))
        ]
    return settings, [(found.loc, Problem(dotted(found.loc), found.what, found.fix)) for found in findings(settings)]


def _without(values: Mapping[str, object], locs: list[Loc]) -> dict[str, object]:
    """A copy without the values at these places, so that the rules can look at what is left."""
    rest = copy.deepcopy(dict(values))
    for loc in locs:
        cut = next((i for i, part in enumerate(loc) if isinstance(part, int)), len(loc))
        place: object = rest
        for part in loc[: cut - 1]:
            place = place.get(str(part)) if isinstance(place, dict) else None
        if isinstance(place, dict):
            place.pop(str(loc[cut - 1]), None)
    return rest


def _with_stand_ins(values: Mapping[str, object]) -> dict[str, object]:
    """What is needed and not there, or was cut out, as something that no rule finds fault with."""
    model = values.get("model")
    named = model if isinstance(model, dict) and "name" in model else {"name": min(catalogue())}
    return {"provider": "local", "release": min(load_releases()), **values, "model": named}


def _related(one: Loc, other: Loc) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _with_lines(placed: list[tuple[Loc, Problem]], lines: Mapping[Loc, int]) -> list[Problem]:
    numbered = []
    for path, problem in placed:
        # A key that is not there is placed at its section; `config:` itself would be no help.
        nearest_places = (path[:n] for n in range(len(path), min(len(path), 2) - 1, -1))
        line = next((lines[place] for place in nearest_places if place in lines), None)
        numbered.append((line or 0, FileProblem(problem.key, problem.what, problem.fix, line) if line else problem))
    return [problem for _, problem in sorted(numbered, key=lambda item: item[0])]
