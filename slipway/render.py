"""A plan and a folder of templates → the files of a host. Templates run in Jinja's sandbox, with nothing undefined."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from slipway.desired import HostFile
from slipway.errors import RenderError
from slipway.plan_types import Plan

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from pathlib import Path

MANIFEST = "manifest.toml"
INLINE = "<template>"
"""what Jinja calls a template that came from no file: a path of the manifest"""


class FileEntry(BaseModel):
    """One `[[file]]` of a manifest. `path` is a template too; `mode` is octal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    template: str
    path: str
    mode: Annotated[str, StringConstraints(pattern=r"^0?[0-7]{3,4}$")] = "0644"
    owner: str = "root:root"
    secret: bool = False
    """rendered only when the secrets it needs are given"""
    each: Literal["replica"] | None = None
    """render it once for each replica, with `replica` in its context"""


class Manifest(BaseModel):
    """What to render, and where it goes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: tuple[FileEntry, ...]


@lru_cache(maxsize=8)
def _environment(templates: frozenset[tuple[str, str]]) -> jinja2.Environment:
    """Kept, because compiling its templates takes ten times as long as rendering them."""
    texts = dict(templates)

    def load(name: str) -> tuple[str, str, None] | None:
        # With its name as filename, a template's lines carry it in tracebacks; see `_place`.
        return (texts[name], name, None) if name in texts else None

    return ImmutableSandboxedEnvironment(
        loader=jinja2.FunctionLoader(load),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


def load_templates(folder: Path | Traversable) -> dict[str, str]:
    """Every template of a folder and its manifest, by their path in it."""
    return dict(_texts(folder, ""))


def _texts(folder: Path | Traversable, prefix: str) -> Iterator[tuple[str, str]]:
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        if entry.is_dir():
            yield from _texts(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith((".j2", ".toml")):
            yield prefix + entry.name, entry.read_text(encoding="utf-8")


@lru_cache(maxsize=8)
def parse_manifest(text: str, source: str = MANIFEST) -> Manifest:
    """The manifest in `text`. Raises `RenderError`."""
    try:
        return Manifest.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise RenderError(f"the manifest cannot be read: {error}", where=source, fix="Correct it") from error


def render_host(
    templates: Mapping[str, str], plan: Plan, api_key_sha256: Sequence[str] | None = None
) -> tuple[HostFile, ...]:
    """The files of one host of `plan`, from the texts of `load_templates`.

    Without `api_key_sha256` the files marked secret are left out: where keys are not known yet, who knows them adds
    those files. Raises `RenderError`.
    """
    if MANIFEST not in templates:
        raise RenderError("there is no manifest.toml", where="templates", fix="Use a template folder with a manifest")
    context: dict[str, Any] = {"plan": plan}
    if api_key_sha256 is not None:
        context["api_key_sha256"] = list(api_key_sha256)
    manifest = parse_manifest(templates[MANIFEST])
    entries = tuple(entry for entry in manifest.file if api_key_sha256 is not None or not entry.secret)
    each = {"replica": plan.replicas}
    return render(templates, Manifest(file=entries), context, each)


def render(
    templates: Mapping[str, str],
    manifest: Manifest,
    context: Mapping[str, Any],
    each: Mapping[str, Sequence[Any]] | None = None,
) -> tuple[HostFile, ...]:
    """One file for each entry of the manifest, or for each item where the entry says `each`.

    Raises `RenderError` with template, line and variable.
    """
    environment = _environment(frozenset(templates.items()))
    files: dict[str, HostFile] = {}
    for entry in manifest.file:
        for item in (each or {}).get(entry.each, ()) if entry.each else (None,):
            values = dict(context) if entry.each is None else {**context, entry.each: item}
            path = _render(environment, entry.path, values, entry.template, inline=True)
            if path in files:
                raise RenderError(f"{path} is rendered twice", where=entry.template, fix="Give each file its own path")
            files[path] = HostFile(
                path=path,
                content=_render(environment, entry.template, values, entry.template, inline=False),
                mode=int(entry.mode, 8),
                owner=entry.owner,
                secret=entry.secret,
            )
    return tuple(files.values())


def _render(environment: jinja2.Environment, text: str, values: Mapping[str, Any], name: str, *, inline: bool) -> str:
    try:
        if inline and "{" not in text:
            return text
        template = environment.from_string(text) if inline else environment.get_template(text)
        return template.render(values)
    except jinja2.TemplateSyntaxError as error:
        where = f"{error.name or name}:{error.lineno}"
        raise RenderError(f"this is no template: {error.message}", where=where, fix="Correct the line") from error
    except jinja2.TemplateNotFound as error:
        raise RenderError(f"there is no template {error.name}", where=name, fix="Add it beside the others") from error
    except jinja2.UndefinedError as error:
        what = f"a variable is not there: {error.message}"
        raise RenderError(what, where=_place(error, name), fix="Use a name that the plan has") from error
    except jinja2.exceptions.SecurityError as error:
        raise RenderError(
            f"a template may not do this: {error}", where=_place(error, name), fix="Take it out"
        ) from error
    except (jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        what = f"a value does not fit: {type(error).__name__}: {error}"
        raise RenderError(what, where=_place(error, name), fix="Correct the expression") from error


def _place(error: BaseException, name: str) -> str:
    """Template and line where the error came from: Jinja puts the templates' own lines into the traceback."""
    trace, place = error.__traceback__, name
    while trace is not None:
        filename = trace.tb_frame.f_code.co_filename
        if filename == INLINE or filename.endswith(".j2"):
            place = f"{name if filename == INLINE else filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
