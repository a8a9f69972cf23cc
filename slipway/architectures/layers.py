"""Which layer keeps what: full attention, a sliding window, chunks, or a recurrent state."""

from __future__ import annotations

from slipway.architectures.fields import Fields
from slipway.architectures.types import State

MOST_LAYERS = 512
"""the deepest published models have some 130"""

KINDS: dict[str, str] = {
    "full_attention": "full",
    "attention": "full",
    "sliding_attention": "sliding",
    "sliding_window_attention": "sliding",
    "chunked_attention": "chunked",
    "linear_attention": "recurrent",
    "mamba": "recurrent",
    "mamba2": "recurrent",
    "conv": "recurrent",
    "moe": "moe",
    "mlp": "mlp",
}
"""words of layer_types, by the state that they mean"""


def layer_count(config: Fields, key: str = "num_hidden_layers", default: int | None = None) -> int:
    return config.integer(key, high=MOST_LAYERS, default=default)


def written_kinds(config: Fields, count: int, key: str = "layer_types") -> tuple[str, ...] | None:
    """The kind of every layer where the configuration lists them, else None."""
    words = config.words(key, most=4 * MOST_LAYERS)
    if not words:
        return None
    if len(words) < count:
        raise config.fault(key, f"names {len(words)} layers, and there are {count}")
    for word in words:
        if word not in KINDS:
            raise config.fault(key, f"has {word!r}; known are {', '.join(KINDS)}")
    return tuple(KINDS[word] for word in words[:count])


def every(count: int, pattern: int, kind: State, rest: State = "full") -> tuple[State, ...]:
    """`kind` everywhere but in every `pattern`-th layer, which is `rest`: five of six slide in Gemma 3.

    >>> every(4, 2, "sliding")
    ('sliding', 'full', 'sliding', 'full')
    """
    return tuple(rest if (index + 1) % pattern == 0 else kind for index in range(count))


def attention_kinds(
    config: Fields, count: int, otherwise: tuple[State, ...] | None = None
) -> tuple[tuple[str, ...], int]:
    """(kind of every layer, window in tokens). `otherwise` is the family's rule where no layer_types are written.

    A window as long as the context, or none, makes sliding layers full ones: they keep every token either way.
    """
    context = config.quiet("max_position_embeddings", 0, 1, 2**31)
    kinds: tuple[str, ...] = written_kinds(config, count) or otherwise or ("full",) * count
    window = config.quiet("sliding_window", 0, 0, 2**31)
    if "sliding" in kinds and (not window or (context and window >= context)):
        kinds = tuple("full" if kind == "sliding" else kind for kind in kinds)
    chunk = config.quiet("attention_chunk_size", 0, 0, 2**31)
    if "chunked" in kinds and (not chunk or (context and chunk >= context)):
        kinds = tuple("full" if kind == "chunked" else kind for kind in kinds)
    return kinds, (chunk if "chunked" in kinds else window)


def window_everywhere(config: Fields, count: int) -> tuple[State, ...]:
    """Mistral and Phi-3: where a sliding_window is written, every layer has it."""
    return ("sliding" if config.maybe("sliding_window", 0, 2**31) else "full",) * count
