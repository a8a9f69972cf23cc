"""YAML with the line of every key, and with duplicate keys refused."""

from __future__ import annotations

from dataclasses import dataclass, field

import yaml

from slipway.errors import Problem

Path = tuple[int | str, ...]

MAX_BYTES = 1_000_000
"""a stack file is a few kilobytes; more is another file, or an attack by aliases"""
MAX_DEPTH = 40
MAX_NODES = 50_000
"""aliases of aliases are few bytes and very many nodes"""

STANDARD = "tag:yaml.org,2002:"
UNREAD = {STANDARD + name for name in ("set", "omap", "pairs", "binary")}
PLAIN_TEXT = {STANDARD + "timestamp"}
"""no setting is a date; one that looks like a date stays the text it is"""


@dataclass
class Document:
    """What a YAML text holds. `lines` counts from 1, as editors do."""

    data: object = None
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


class _Stop(Exception):  # noqa: N818 - ends the walk, and never leaves this module
    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def load(text: str) -> Document:
    """Parse one YAML document; problems instead of exceptions, whatever the text is."""
    document = Document()
    if len(text) > MAX_BYTES:
        document.problems.append(
            Problem("(file)", f"this is larger than {MAX_BYTES} characters", "Is it a stack file?")
        )
        return document
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is not None:
            document.data = _Reader(loader, document).read(node, (), frozenset())
    except yaml.YAMLError as error:
        document.problems.append(_syntax(error))
    except _Stop as stop:
        document.problems.append(stop.problem)
    except (ValueError, TypeError, RecursionError, OverflowError, ArithmeticError, LookupError) as error:
        # PyYAML builds dates and numbers with plain constructors, whose errors it lets through.
        document.problems.append(Problem("(file)", f"a value cannot be read: {error}", "Put it in quotes"))
    finally:
        if loader is not None:
            loader.dispose()
    return document


class _Reader:
    """Builds plain data from nodes. Keys stay the text they are in the file: `on` is no boolean, `1` no number."""

    def __init__(self, loader: yaml.SafeLoader, document: Document) -> None:
        self.loader = loader
        self.document = document
        self.nodes = 0

    def read(self, node: yaml.Node, path: Path, above: frozenset[int]) -> object:
        line = node.start_mark.line + 1
        self.nodes += 1
        if len(above) > MAX_DEPTH or self.nodes > MAX_NODES or id(node) in above:
            raise _Stop(Problem(f"(line {line})", "values are nested without end", "Take out the alias or the nesting"))
        self.document.lines.setdefault(path, line)
        above |= {id(node)}
        if not node.tag.startswith(STANDARD) or node.tag in UNREAD or "python" in node.tag:
            raise _Stop(Problem(f"(line {line})", f"the tag {node.tag!r} is not read here", "Take the tag out"))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, above)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*path, index), above) for index, item in enumerate(node.value)]
        if node.tag in PLAIN_TEXT:
            return str(node.value)
        return self.loader.construct_object(node)

    def _mapping(self, node: yaml.MappingNode, path: Path, above: frozenset[int]) -> dict[str, object]:
        data: dict[str, object] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or not key.value:
                fix = "Write `key: value`, and put values that start with a brace in quotes"
                raise _Stop(Problem(f"(line {line})", "a key is a list, a mapping or empty", fix))
            if key.tag == "tag:yaml.org,2002:merge":
                raise _Stop(Problem(f"(line {line})", "merge keys (<<) are not read here", "Write the keys out"))
            name = str(key.value)
            if name in data:
                first = self.document.lines[(*path, name)]
                what = f"the key {name!r} is there twice, first on line {first}; one of them would be lost"
                self.document.problems.append(Problem(f"(line {line})", what, "Keep one of them"))
                continue
            self.document.lines[(*path, name)] = line
            data[name] = self.read(value, (*path, name), above)
        return data


def _syntax(error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    where = f"(line {mark.line + 1})" if mark is not None else "(file)"
    what = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be parsed"
    context = getattr(error, "context_mark", None)
    if "end of stream" in what and context is not None:
        return Problem(f"(line {context.line + 1})", "this is no YAML: what is opened here is never closed", "Close it")
    if "another document" in what:
        return Problem(where, "a second document starts here, and a stack file has one", "Take the --- out")
    if "'\\t'" in str(what):
        return Problem(where, "this is no YAML: a tab indents the line", "Indent with spaces")
    return Problem(
        where, f"this is no YAML: {what}", "Check indentation, colons and quotes on this line and the one before"
    )
