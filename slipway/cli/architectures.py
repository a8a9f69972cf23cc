"""`--model NAME_OR_PATH`: a repository id of the catalogue, a folder as a hub serves it, a `config.json` or a GGUF."""

from __future__ import annotations

import re
from collections.abc import Sequence
from posixpath import dirname, join

from slipway.architectures.types import Architecture
from slipway.cli.effects import Effects
from slipway.errors import SizingError

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
QUANTIZATION = "hf_quant_config.json"

GGUF_START = 16 * 2**20
"""bytes read of a GGUF at first: its header holds the vocabulary, which takes a few megabytes"""
GGUF_HEADER = 512 * 2**20
"""longest header of a GGUF that is read"""

_SPLIT = re.compile(r"(?P<stem>.+)-(?P<index>\d{5})-of-(?P<count>\d{5})\.gguf")


def architecture_of(name_or_path: str, effects: Effects) -> Architecture:
    """The architecture of a model. What exists as a file or a folder is read, anything else is a name of the catalogue.

    Raises `SizingError` when there is neither, and for files that are damaged or describe something unknown.
    """
    if not name_or_path:  # as of a variable that nobody set; it would be the folder that one is in
        return _of_name(name_or_path)
    try:
        names = effects.list_folder(name_or_path)
    except NotADirectoryError:
        return _of_file(name_or_path, effects)
    except FileNotFoundError as error:
        if name_or_path.endswith((".json", ".gguf")) or name_or_path.startswith((".", "/", "~")):
            raise _unreadable(name_or_path, error) from None
        return _of_name(name_or_path)
    except (OSError, ValueError) as error:
        raise _unreadable(name_or_path, error) from None
    return _of_folder(name_or_path, names, effects)


def _of_name(name: str) -> Architecture:
    from slipway.architectures.catalogue import find  # noqa: PLC0415  only where a name is asked for

    return find(name)


def _of_folder(folder: str, names: Sequence[str], effects: Effects) -> Architecture:
    if CONFIG in names:
        return _of_config(folder, CONFIG, names, effects)
    ggufs = sorted(name for name in names if name.endswith(".gguf"))
    split = [match for match in map(_SPLIT.fullmatch, ggufs) if match is not None]
    whole = len({match["stem"] for match in split}) == 1 and len(split) == len(ggufs)
    if len(ggufs) == 1 or whole:
        return _of_gguf(join(folder, ggufs[0]), effects)
    what = f"{len(ggufs)} models are in this folder" if ggufs else f"there is no {CONFIG} and no GGUF in this folder"
    fix = f"Name one, such as {join(folder, ggufs[0])}" if ggufs else "Name a model's own folder, or a file of it"
    raise SizingError(what, where=folder, fix=fix)


def _of_file(path: str, effects: Effects) -> Architecture:
    if path.endswith(".gguf"):
        return _of_gguf(path, effects)
    folder, _, name = path.rpartition("/")
    if not name.endswith(".json"):
        fix = f"Name a folder with a {CONFIG}, that file itself, or a GGUF"
        raise SizingError("this is neither a config.json nor a GGUF", where=path, fix=fix)
    # The files beside another name than its usual one may be of another model.
    beside = effects.list_folder(folder or ".") if name == CONFIG else ()
    return _of_config(folder, name, beside, effects)


def _of_config(folder: str, config: str, names: Sequence[str], effects: Effects) -> Architecture:
    from slipway.architectures.config import parse_config  # noqa: PLC0415  names of the catalogue do without
    from slipway.architectures.fields import CONFIG_CHARACTERS, INDEX_CHARACTERS  # noqa: PLC0415
    from slipway.architectures.files import HEADER_BYTES  # noqa: PLC0415

    def text(name: str, limit: int) -> str | None:
        return _text(join(folder, name), limit, effects) if name in names else None

    tensors = [name for name in names if name.endswith(".safetensors")]
    header = None
    if INDEX not in names and len(tensors) == 1:
        header = _start(join(folder, tensors[0]), 8, effects)[0]
        length = min(int.from_bytes(header, "little"), HEADER_BYTES)
        header = _start(join(folder, tensors[0]), 8 + length, effects)[0]
    return parse_config(
        _text(join(folder, config), CONFIG_CHARACTERS, effects),
        name=folder if folder and config == CONFIG else join(folder, config),
        index_text=text(INDEX, INDEX_CHARACTERS),
        header_bytes=header,
        quantization_text=text(QUANTIZATION, CONFIG_CHARACTERS),
    )


def _of_gguf(path: str, effects: Effects) -> Architecture:
    from slipway.architectures.gguf import parse_gguf  # noqa: PLC0415  names of the catalogue do without
    from slipway.architectures.gguf.header import ShortHeaderError  # noqa: PLC0415

    paths = [path]
    match = _SPLIT.fullmatch(path.rpartition("/")[2])
    if match is not None:
        count = min(int(match["count"]), 999)
        stem = join(dirname(path), match["stem"])
        paths = [f"{stem}-{index:05}-of-{match['count']}.gguf" for index in range(1, count + 1)]
    length = GGUF_START
    while True:
        starts = [_start(each, length, effects) for each in paths]
        try:
            head, size = starts[0]
            return parse_gguf(head, name=paths[0], file_bytes=size, others=starts[1:])
        except ShortHeaderError as error:
            whole = all(len(start) == size for start, size in starts)
            if whole or error.needed > GGUF_HEADER or length >= GGUF_HEADER:
                raise SizingError(error.what, where=error.where, fix="Download the file again") from None
            length = min(max(error.needed, 4 * length), GGUF_HEADER)


def _text(path: str, limit: int, effects: Effects) -> str:
    content, size = _start(path, limit, effects)
    if size > limit:
        raise SizingError(f"this is {size:,} bytes long, more than {limit:,}", where=path, fix="Is it the right file?")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise SizingError("this is no UTF-8 text", where=path, fix="Is it the right file?") from None


def _start(path: str, limit: int, effects: Effects) -> tuple[bytes, int]:
    try:
        return effects.read_start(path, limit)
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: str, error: Exception) -> SizingError:
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    fix = "Name a folder, a config.json, a GGUF, or a repository id of the catalogue"
    return SizingError(f"this cannot be read: {said}", where=path, fix=fix)
