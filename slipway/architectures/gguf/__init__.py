"""A GGUF file's header, read into an architecture. The layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md"""

from slipway.architectures.gguf.header import ShortHeaderError
from slipway.architectures.gguf.model import parse_gguf

__all__ = ["ShortHeaderError", "parse_gguf"]
