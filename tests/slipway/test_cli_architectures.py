"""What `--model` takes: names of the catalogue, folders, config files and GGUFs."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import pytest

from bootstrap.entry import effects
from slipway.architectures.types import Architecture
from slipway.cli.architectures import architecture_of
from slipway.errors import SizingError
from tests.slipway.architectures.gguf_files import dense, gguf, llama

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1000,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}


def read(path: object) -> Architecture:
    return architecture_of(str(path), effects())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return tmp_path


def safetensors(shapes: dict[str, list[int]]) -> bytes:
    header, offset = {}, 0
    for name, shape in shapes.items():
        size = 2 * shape[0] * shape[1]
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text


def test_a_name_of_the_catalogue() -> None:
    assert read("meta-llama/Llama-3.1-8B-Instruct").layers == 32


def test_no_name_is_not_the_folder_where_one_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert read(".").layers == 2
    with pytest.raises(SizingError, match="is no model of the catalogue"):
        read("")


def test_a_folder_and_its_config_are_the_same_model(folder: Path) -> None:
    assert read(folder).parts == read(folder / "config.json").parts
    assert read(folder).file_bytes is None


def test_an_index_says_the_bytes(folder: Path) -> None:
    size = round(read(folder).weight_bytes)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {"total_size": size}}))
    assert read(folder).file_bytes == size


def test_one_file_of_tensors_says_the_bytes(folder: Path) -> None:
    elements = round(read(folder).weight_bytes / 2)
    (folder / "model.safetensors").write_bytes(safetensors({"lm_head.weight": [elements, 1]}))
    assert read(folder).file_bytes == 2 * elements


def test_a_config_under_another_name_is_read_alone(folder: Path) -> None:
    (folder / "config.json").rename(folder / "other.json")
    (folder / "model.safetensors.index.json").write_text("damaged")
    assert read(folder / "other.json").layers == 2


def write_gguf(path: Path) -> None:
    head, size = gguf(llama(), dense())
    with path.open("wb") as file:
        file.write(head)
        file.truncate(size)


def test_a_gguf_and_its_folder(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf")
    assert read(tmp_path / "tiny.gguf").layers == read(tmp_path).layers == 4


def test_a_gguf_that_is_cut_off(tmp_path: Path) -> None:
    head, _ = gguf(llama(), dense())
    (tmp_path / "tiny.gguf").write_bytes(head[:-40])
    with pytest.raises(SizingError, match="Download the file again"):
        read(tmp_path / "tiny.gguf")


def test_a_long_header_is_read_in_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipway.cli.architectures.GGUF_START", 64)
    write_gguf(tmp_path / "tiny.gguf")
    assert read(tmp_path / "tiny.gguf").layers == 4


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("notes.txt", b"hello", "neither a config.json nor a GGUF"),
        ("a.gguf", b"GGML", "a.gguf"),
        ("b.json", b"\xff\xfe", "no UTF-8"),
        ("c.json", b"{", "c.json"),
    ],
)
def test_files_that_are_no_model(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SizingError, match=said):
        read(tmp_path / name)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SizingError, match="No such file"):
        read(tmp_path / "nothing.gguf")
    with pytest.raises(SizingError, match=r"no config\.json and no GGUF"):
        read(tmp_path)
    with pytest.raises(SizingError, match=r"meta-llama/Llama-3\.1-8B-Instruct"):
        read("meta-llama/Llama-3.1-8B-Instrukt")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    with pytest.raises(SizingError, match="not a regular file"):
        read(tmp_path / "pipe.gguf")


def test_several_models_in_a_folder_must_be_chosen_from(tmp_path: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(SizingError, match=r"2 models .*a\.gguf"):
        read(tmp_path)
