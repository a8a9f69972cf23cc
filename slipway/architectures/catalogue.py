"""The shipped catalogue: configurations of published models under their Hugging Face repository ids.

A model is one file, `models/<owner>--<name>.json`:

    config    the fields of its public config.json that change a size, under their own names
    base      the model whose configuration this one changes, such as the one that was quantised; `config` has the
              fields that differ
    bytes     what the tensors that an engine loads take together, where that is known exactly, else null
    source    where the figures were read
    date      when
    aliases   other ids of the same files, such as the one before a repository was renamed
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import TypedDict, cast

from slipway.architectures.config import parse_config
from slipway.architectures.types import Architecture
from slipway.errors import SizingError
from slipway.units import quoted

LONGEST_NAME = 200
"""characters; repository ids have at most 96 on each side of the slash"""


class _Entry(TypedDict, total=False):
    base: str
    config: dict[str, object]
    bytes: int | None
    source: str
    date: str
    aliases: list[str]


@cache
def names() -> tuple[str, ...]:
    """Every repository id in the catalogue, without the aliases, sorted."""
    files = (file.name for file in _folder().iterdir() if file.name.endswith(".json"))
    return tuple(sorted((file.removesuffix(".json").replace("--", "/", 1) for file in files), key=str.lower))


@cache
def aliases() -> dict[str, str]:
    """The id of every alias."""
    return {alias: name for name in names() for alias in _entry(name)["aliases"]}


def find(name: str) -> Architecture:
    """The architecture of a model in the catalogue.

    Case, spaces, dashes and underscores do not count, and the owner may be left out where only one has a model of
    that name. Raises `SizingError` with the nearest names.
    """
    key = _key(name)
    found = _by_own_key().get(key, ()) or _by_key().get(key, ()) or _by_bare_key().get(key, ())
    if len(found) == 1:
        return _architecture(found[0])
    if found:
        what = f"{quoted(name)} is the name of {len(found)} models"
        raise SizingError(what, where="model", fix=f"Write {' or '.join(found)}")
    near = _nearest(key)
    offer = f"Write {' or '.join(near)}, or" if near else "Write"
    fix = f"{offer} the path of a config.json or a GGUF file; `slipway fit --help` says how"
    raise SizingError(f"{quoted(name)} is no model of the catalogue", where="model", fix=fix)


@cache
def _architecture(name: str) -> Architecture:
    entry = _entry(name)
    architecture = parse_config(json.dumps(_config(name)), name=name)
    return replace(architecture, file_bytes=entry["bytes"], source=f"{entry['source']} ({entry['date']})")


def _config(name: str) -> dict[str, object]:
    """Its configuration with the fields of the model below it."""
    entry = _entry(name)
    return (_config(entry["base"]) if "base" in entry else {}) | entry["config"]


@cache
def _entry(name: str) -> _Entry:
    file = _folder().joinpath(name.replace("/", "--", 1) + ".json")
    return cast(_Entry, json.loads(file.read_text(encoding="utf-8")))


def _folder() -> resources.abc.Traversable:
    return resources.files("slipway.architectures").joinpath("models")


def _key(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name[:LONGEST_NAME].casefold())


@cache
def _by_own_key() -> dict[str, tuple[str, ...]]:
    """Without the aliases, so that no file but the model's own has to be read."""
    return _grouped([(_key(name), name) for name in names()])


@cache
def _by_key() -> dict[str, tuple[str, ...]]:
    return _grouped([(_key(spelling), name) for spelling, name in _spellings()])


@cache
def _by_bare_key() -> dict[str, tuple[str, ...]]:
    """By what stands behind the owner."""
    return _grouped([(_key(spelling.rsplit("/", 1)[-1]), name) for spelling, name in _spellings()])


def _spellings() -> list[tuple[str, str]]:
    return [*((name, name) for name in names()), *aliases().items()]


def _grouped(pairs: list[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    groups: dict[str, dict[str, None]] = {}
    for key, name in pairs:
        groups.setdefault(key, {})[name] = None
    return {key: tuple(found) for key, found in groups.items()}


def _nearest(key: str) -> tuple[str, ...]:
    """Up to four ids that are spelled alike."""
    table = _by_key() if "/" in key else _by_bare_key()
    starts = sorted((spelling for spelling in table if key and spelling.startswith(key)), key=len)
    near = difflib.get_close_matches(key, table, n=4, cutoff=0.6)
    found = dict.fromkeys(name for spelling in (*starts[:3], *near) for name in table[spelling])
    return tuple(found)[:4]
