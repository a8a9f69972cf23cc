"""Which modules a quantiser left alone: the ignore lists of the formats, matched in bounded time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fnmatch import translate

from slipway.errors import SizingError
from slipway.units import quoted

PREFIXES = ("model.language_model.", "language_model.model.", "model.", "")
"""what checkpoints write before `layers.N` and before the names outside of layers"""

STEPS = 2_000_000
"""most character comparisons that all regular expressions of one file may cost a module name; real lists need less than
ten thousand"""
LONGEST_NAME = 100
"""characters of a module name with its prefix"""

MOST_EXPRESSIONS = 500

MULTIMODAL = re.compile(r"vis(ion|ual)|image|img|audio|mm_projector|multi_modal|sound")


class Matcher:
    """Whether a module's name is one of a list. Entries are names or parts of names at dots (`self_attn`,
    `model.layers.0.mlp`), globs (modelopt writes `*self_attn*`) or, after `re:`, regular expressions.

    The rules are those of compressed-tensors (`utils/match.py`), of modelopt (fnmatch) and of the quantizers of
    transformers (a name, or the start of one).
    """

    def __init__(self, entries: Iterable[str], where: str) -> None:
        self._names: set[str] = set()
        starts: list[str] = []
        expressions: list[str] = []
        globs: list[str] = []
        self.multimodal = False
        for entry in entries:
            self.multimodal = self.multimodal or MULTIMODAL.search(entry) is not None
            if entry.startswith("re:"):
                expressions.append(entry[3:])
            elif not any(letter in entry.removesuffix("*") for letter in "*?["):
                starts.append(bare(entry)[:-1]) if entry.endswith("*") else self._names.add(bare(entry))
            else:
                globs.append(translate(re.sub(r"\*+", "*", entry)))
        self._starts = tuple(starts)
        # A glob's translation is atomic after every star: it never goes back, so it costs next to nothing.
        self._expressions = _compiled(expressions, where) + [re.compile(glob).match for glob in globs]
        if len(self._expressions) > MOST_EXPRESSIONS:
            what = f"an ignore list has {len(self._expressions)} patterns; {MOST_EXPRESSIONS} are read"
            raise SizingError(what, where=where, fix="Write names where no pattern is needed")
        self.by_layer = bool(self._expressions) or any(re.search(r"\d", name) for name in (*self._names, *starts))

    def __contains__(self, path: str) -> bool:
        if path.startswith(self._starts):
            return True
        if self._names:
            words = path.split(".")
            for start in range(len(words)):
                for end in range(len(words), start, -1):
                    if ".".join(words[start:end]) in self._names:
                        return True
        return any(match(prefix + path) for match in self._expressions for prefix in PREFIXES)


def bare(name: str) -> str:
    """A module's name without what its checkpoint writes before `layers.N`."""
    for prefix in PREFIXES:
        if prefix and name.startswith(prefix):
            return name[len(prefix) :]
    return name


def _compiled(expressions: list[str], where: str) -> list[Callable[[str], re.Match[str] | None]]:
    found: list[Callable[[str], re.Match[str] | None]] = []
    steps = 0
    for text in expressions:
        # A repeat of a group that repeats, or many repeats in a row, can take for ever on a short name.
        repeats = len(re.findall(r"(?<!\\)[*+{]", text))
        steps += LONGEST_NAME ** min(repeats, 9)
        if len(text) > 2000 or steps > STEPS or re.search(r"\)[*+{]|\\[1-9]|\(\?P=", text):
            raise SizingError(
                f"the ignore list's pattern {quoted(text)} is too complicated to match safely",
                where=where,
                fix="Write names, or patterns with no more than two repeats",
            )
        try:
            found.append(re.compile(text).match)
        except (re.error, OverflowError, RecursionError):
            raise SizingError(
                f"the ignore list's pattern {quoted(text)} is no regular expression", where=where, fix="Correct it"
            ) from None
    return found
