"""Fuzzes GGUF headers: `python tests/fuzz/fuzz_gguf.py -runs=20000 CORPUS`. Whatever is no SizingError is a bug."""

from __future__ import annotations

import contextlib
import sys

import atheris

with atheris.instrument_imports(include=["slipway.architectures"]):
    from slipway.architectures.gguf import parse_gguf
    from slipway.errors import SizingError


def once(data: bytes) -> None:
    with contextlib.suppress(SizingError):
        parse_gguf(data, name="model.gguf", file_bytes=max(len(data), 2**40))


if __name__ == "__main__":
    atheris.Setup(sys.argv, once)
    atheris.Fuzz()
