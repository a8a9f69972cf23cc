"""Models: where their files come from, and the catalogue of those known by name (`models.toml`)."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import PurePosixPath
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from slipway.units import BadValueError, quoted

Scheme = Literal["https", "hf", "s3", "file", "pypi"]

MODELS = "/var/lib/slipway/models"
"""on a host; mounted read-only at the same path in an engine's container"""

SHA256_PATTERN = r"^[0-9a-f]{64}$"
FORMS = {
    "https": "https://host/path/file",
    "hf": "hf://owner/repository@revision/file",
    "s3": "s3://bucket/key",
    "file": "file:///absolute/path",
    "pypi": "pypi:package==version#path/in/wheel",
}
FETCHED_BY_HOST = frozenset({"https", "hf", "s3"})
"""the other sources are read beside the one who runs `pulumi up`, and sent to the host"""

_HF = re.compile(r"hf://(?P<owner>[\w.-]+)/(?P<repository>[\w.-]+)@(?P<revision>[\w.-]+)/(?P<file>[^?#]+)")
_S3 = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<key>[^?#]+)")
_PYPI = re.compile(r"pypi:(?P<package>[A-Za-z0-9._-]+)==(?P<version>[A-Za-z0-9.!+_-]+)#(?P<file>[^?#]+)")


@dataclass(frozen=True)
class ModelSource:
    """One parsed source. `container` is what holds the file, `file` the path inside it."""

    scheme: Scheme
    text: str
    container: str
    """the host, `owner/repository`, bucket or package; empty for a local file"""
    version: str
    """the revision or the package's version; empty where there is none"""
    file: str

    @property
    def basename(self) -> str:
        return PurePosixPath(self.file).name

    @property
    def fetched_by_host(self) -> bool:
        return self.scheme in FETCHED_BY_HOST


def parse_source(text: str) -> ModelSource:
    """The source that `text` names. Raises `BadValueError` with the form that would be right."""
    scheme = text.split(":", 1)[0].lower()
    if scheme == "http":
        raise BadValueError(f"{quoted(text)} is fetched without TLS", "Use https://")
    if scheme not in FORMS or ":" not in text:
        raise BadValueError(f"{quoted(text)} is no model source", "Write one of " + ", ".join(FORMS.values()))
    source = _PARSERS[scheme](text)
    if source is None:
        raise BadValueError(f"{quoted(text)} is no {scheme} source", f"Write it as {FORMS[scheme]}")
    if not source.basename or ".." in PurePosixPath(source.file).parts or not source.text.isprintable():
        raise BadValueError(f"{quoted(text)} names no file", f"Write it as {FORMS[scheme]}")
    return source


def _https(text: str) -> ModelSource | None:
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError:
        return None
    if not host or not parts.path.strip("/") or parts.path.endswith("/"):
        return None
    if parts.username or parts.password:
        raise BadValueError(
            "a model source holds a user name or a password, which the stack file would show",
            "Use a URL without credentials",
        )
    return ModelSource("https", text, host, "", parts.path)


def _hf(text: str) -> ModelSource | None:
    match = _HF.fullmatch(text)
    if match is None:
        return None
    return ModelSource("hf", text, f"{match['owner']}/{match['repository']}", match["revision"], match["file"])


def _s3(text: str) -> ModelSource | None:
    match = _S3.fullmatch(text)
    return ModelSource("s3", text, match["bucket"], "", match["key"]) if match else None


def _file(text: str) -> ModelSource | None:
    path = text.removeprefix("file://")
    return ModelSource("file", text, "", "", path) if path.startswith("/") and not path.endswith("/") else None


def _pypi(text: str) -> ModelSource | None:
    match = _PYPI.fullmatch(text)
    return ModelSource("pypi", text, match["package"], match["version"], match["file"]) if match else None


_PARSERS = {"https": _https, "hf": _hf, "s3": _s3, "file": _file, "pypi": _pypi}


def _checked_source(text: str) -> str:
    parse_source(text)
    return text


SourceText = Annotated[
    str, AfterValidator(_checked_source), Field(json_schema_extra={"examples": list(FORMS.values())})
]
Sha256 = Annotated[str, Field(pattern=SHA256_PATTERN)]


@dataclass(frozen=True)
class ResolvedModel:
    """The model of a stack with everything known. `size` is bytes, `context` tokens, `path` absolute on the host."""

    name: str
    source: ModelSource
    sha256: str
    size: int
    context: int
    endpoint: str | None = None

    @property
    def path(self) -> str:
        """A folder of its own for each digest: two versions lie side by side, and a container sees one of them."""
        return f"{MODELS}/{self.sha256[:16]}/{self.source.basename}"

    @property
    def load_path(self) -> str:
        """What vLLM and SGLang load: a GGUF file itself, and otherwise the folder."""
        return self.path if self.path.endswith(".gguf") else str(PurePosixPath(self.path).parent)


class CatalogueModel(BaseModel):
    """One entry of `models.toml`. Sizes are bytes, the context tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: SourceText
    sha256: Sha256
    size: int = Field(gt=0)
    context: int = Field(gt=0)
    format: Literal["gguf", "safetensors"]
    license: str
    architecture: str | None = None
    """its name in the catalogue of architectures, where that is another"""


@cache
def catalogue() -> dict[str, CatalogueModel]:
    """The models known by name."""
    text = resources.files("slipway").joinpath("models.toml").read_text(encoding="utf-8")
    return {name: CatalogueModel.model_validate(entry) for name, entry in tomllib.loads(text).items()}
