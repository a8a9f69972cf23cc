"""Which modules a quantiser left alone: the ignore lists of the formats, matched in bounded time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fnmatch import translate

from slipway.errors import SizingError
from slipway.units import quoted

PREFIXES = ("model.language_model.", "language_model.model.", "model.", "")
"""what checkpoints write before `layers.N` and before the names outside of layers"""

STEPS = 30_000
"""most steps that the regular expressions of a list may take for a module's name; real lists need a few hundred"""
NAME = 60
"""characters of a module's name with its prefix"""

MOST_EXPRESSIONS = 100
MOST_STARTS = 5000
"""entries such as `model.layers.0.self_attn*`"""

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
        if len(self._expressions) > MOST_EXPRESSIONS or len(starts) > MOST_STARTS:
            what = f"an ignore list has {len(self._expressions) + len(starts):,} patterns, more than any real one"
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
        steps += _steps(text) if len(text) <= 2000 else STEPS + 1
        if steps > STEPS:
            raise SizingError(
                f"the ignore list's pattern {quoted(text)} is too complicated to match safely",
                where=where,
                fix="Write names, or patterns with one repeat or two",
            )
        try:
            found.append(re.compile(text).match)
        except (re.error, OverflowError, RecursionError):
            raise SizingError(
                f"the ignore list's pattern {quoted(text)} is no regular expression", where=where, fix="Correct it"
            ) from None
    return found


def _steps(text: str) -> int:
    """A bound on the ways in which a backtracking matcher may go through a name: every repeat may end anywhere, every
    alternative and optional item be tried. A repeat of a group, or a reference to one, is beyond any bound.

    >>> _steps("model[.]layers[.](0|1)[.].*"), _steps(".*mlp.*gate$"), _steps("(a*)*") > STEPS
    (2, 1800, True)
    """
    repeats, ways, groups, at = 0, 1, [1], 0
    text = text.removesuffix(".*")
    while at < len(text):
        letter = text[at]
        if letter == "\\":
            if text[at + 1 : at + 2].isdigit():
                return STEPS + 1
            at += 1
        elif letter == "[":
            at = max(text.find("]", at + 2), at)
        elif letter == "(":
            groups.append(1)
            if text.startswith("(?P=", at) or text.startswith("(?(", at):
                return STEPS + 1
        elif letter == "|":
            groups[-1] += 1
        elif letter == ")" and len(groups) > 1:
            ways *= groups.pop()
            if text[at + 1 : at + 2] in {"*", "+", "{"}:
                return STEPS + 1
        elif letter == "?" and text[at - 1 : at] != "(":
            ways *= 2
        elif letter in "*+{":
            repeats += 1
        at += 1
    for alternatives in groups:
        ways *= alternatives
    return min(ways, STEPS + 1) * (1, NAME, NAME**2 // 2, STEPS + 1)[min(repeats, 3)]
