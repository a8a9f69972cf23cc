"""Vision and audio encoders in front of a language model: how many elements they have. A text token reads none of them.

Each follows the implementation of that model_type in transformers (models/*/modeling_*.py).
"""

from __future__ import annotations

from collections.abc import Callable

from slipway.architectures.fields import Fields
from slipway.architectures.parts import Linear, Plain, Weight
from slipway.architectures.types import PartName

MOST_TOWER_LAYERS = 1024


def tower(
    hidden: int,
    width: int,
    layers: int,
    *,
    part: PartName = "vision",
    path: str = "vision_tower",
    bias: bool = True,
    mlp_bias: bool = True,
    gated: bool = False,
    norms: int = 4,
    inner: int | None = None,
) -> tuple[Weight, ...]:
    """`layers` transformer layers. `norms`: vectors of the hidden width a layer, biases of norms included. `inner`:
    the width of all heads, where it is not the hidden one."""
    wide = hidden if inner is None else inner

    def matrix(name: str, inputs: int, outputs: int, biased: bool) -> Linear:
        return Linear(part, f"{path}.{name}", inputs, outputs, copies=layers, used=0.0, bias=biased)

    return (
        matrix("attn.qkv", hidden, 3 * wide, bias),
        matrix("attn.proj", wide, hidden, bias),
        matrix("mlp.fc1", hidden, (2 if gated else 1) * width, mlp_bias),
        matrix("mlp.fc2", width, hidden, mlp_bias),
        Plain(part, norms * hidden * layers, read=0.0),
    )


def _linear(name: str, inputs: int, outputs: int, *, bias: bool = False, copies: int = 1) -> Linear:
    return Linear("vision", f"vision_tower.{name}", inputs, outputs, copies=copies, used=0.0, bias=bias)


def _plain(elements: int) -> Plain:
    return Plain("vision", elements, read=0.0)


def _base(
    vision: Fields, width: str = "intermediate_size", layers: str = "num_hidden_layers"
) -> tuple[int, int, int, int]:
    """(hidden, feed-forward width, layers, patch size)."""
    return (
        vision.integer("hidden_size"),
        vision.integer(width),
        vision.integer(layers, high=MOST_TOWER_LAYERS),
        vision.integer("patch_size", high=256),
    )


def siglip(vision: Fields, outer: Fields, text: int) -> tuple[Weight, ...]:
    """Gemma 3's tower, and the projection that pools 4096 patches into 256 tokens."""
    del outer
    hidden, width, layers, patch = _base(vision)
    places = (vision.integer("image_size") // patch) ** 2
    return (
        *tower(hidden, width, layers),
        _plain(3 * patch**2 * hidden + hidden + places * hidden + 2 * hidden),
        _plain(hidden * text + hidden),
    )


def gemma4_vision(vision: Fields, outer: Fields, text: int) -> tuple[Weight, ...]:
    del outer
    vision = vision.with_defaults(hidden_size=768, intermediate_size=3072, num_hidden_layers=16, patch_size=16)
    hidden, width, layers, patch = _base(vision)
    heads = vision.integer("num_attention_heads", high=2**16, default=12)
    dim = vision.integer("head_dim", high=2**16, default=64)
    places = vision.integer("position_embedding_size", default=10_240)
    return (
        *tower(hidden, width, layers, bias=False, mlp_bias=False, gated=True, inner=heads * dim),
        _plain(2 * places * hidden + 2 * dim * layers + (2 * hidden if vision.flag("standardize", False) else 0)),
        _linear("patch_embedder.input_proj", 3 * patch**2, hidden),
        _linear("embed_vision.embedding_projection", hidden, text),
    )


def _conformer(audio: Fields, prefix: str, hidden: int) -> tuple[Weight, ...]:
    """The sound encoder of Gemma 3n and 4: two feed-forwards of four widths, attention with relative keys and
    a gated convolution in each layer, behind two convolutions that make a quarter of 128 mel bands of it."""
    layers = audio.integer(f"{prefix}num_hidden_layers", high=MOST_TOWER_LAYERS, default=12)
    heads = audio.integer(f"{prefix}num_attention_heads", high=2**16, default=8)
    kernel = audio.integer(f"{prefix}conv_kernel_size", high=1024, default=5)
    channels = audio.integers("subsampling_conv_channels" if not prefix else "sscp_conv_channel_size", 1) or (128, 32)
    first, second = channels[0], channels[-1]
    squares = 2 * (4 + 4) + 5 + 3
    small = layers * ((9 + kernel) * hidden + hidden // heads)
    return (
        Linear("audio", "audio_tower.layers", hidden, hidden, copies=squares * layers, used=0.0),
        Plain("audio", small + 10 * first + 9 * first * second + second + 32 * second * hidden, read=0.0),
    )


def gemma4_audio(audio: Fields, text: int) -> tuple[Weight, ...]:
    hidden = audio.integer("hidden_size", default=1024)
    out = audio.integer("output_proj_dims", default=1536)
    return (
        *_conformer(audio, "", hidden),
        Linear("audio", "audio_tower.output_proj", hidden, out, used=0.0, bias=True),
        Linear("audio", "embed_audio.embedding_projection", out, text, used=0.0),
    )


MOBILENET_V5 = 294_126_912
"""elements of mobilenetv5_300m_enc in timm 1.0, as counted; its configuration names the network and no sizes"""


def gemma3n_towers(outer: Fields, text: int) -> tuple[Weight, ...]:
    """MobileNet-V5 and a sound encoder."""
    weights: tuple[Weight, ...] = ()
    vision, audio = outer.section("vision_config"), outer.section("audio_config")
    if vision is not None:
        wide, vocab = vision.integer("hidden_size", default=2048), vision.integer("vocab_size", default=128)
        weights += (_plain(MOBILENET_V5 + (vocab + 2) * wide), _linear("embed_vision", wide, text))
    if audio is not None:
        wide, vocab = audio.integer("hidden_size", default=1536), audio.integer("vocab_size", default=128)
        weights += (
            *_conformer(audio, "conf_", wide),
            Plain("audio", (vocab + 2) * wide, read=0.0),
            Linear("audio", "embed_audio", wide, text, used=0.0),
        )
    return weights


def llama4_vision(vision: Fields, outer: Fields, text: int) -> tuple[Weight, ...]:
    del outer
    hidden, width, layers, patch = _base(vision)
    places = (vision.integer("image_size") // patch) ** 2 + 1
    middle, out = vision.integer("projector_input_dim"), vision.integer("projector_output_dim")
    shuffled = int(hidden / vision.number("pixel_shuffle_ratio", 0.5, 0.01, 1.0) ** 2)
    return (
        *tower(hidden, width, layers),
        _plain(hidden + places * hidden + 4 * hidden),
        _linear("patch_embedding", 3 * patch**2, hidden),
        _linear("vision_adapter.mlp.fc1", shuffled, middle),
        _linear("vision_adapter.mlp.fc2", middle, out),
        _linear("multi_modal_projector.linear_1", vision.integer("vision_output_dim"), text),
    )


def mllama_vision(vision: Fields, outer: Fields, text: int) -> tuple[Weight, ...]:
    del outer
    hidden, width, layers, patch = _base(vision)
    gated = vision.integer("num_global_layers", high=MOST_TOWER_LAYERS, default=8)
    places = (vision.integer("image_size") // patch) ** 2 + 1
    tiles = vision.integer("max_num_tiles", high=64, default=4)
    ratios = vision.values.get("supported_aspect_ratios")
    kinds = (len(ratios) if isinstance(ratios, list) and len(ratios) < 1000 else 8) + 1
    out = vision.integer("vision_output_dim")
    return (
        *tower(hidden, width, layers + gated, bias=False),
        _plain(hidden + 3 * patch**2 * hidden + 3 + 2 * gated + 4 * hidden),
        _plain(places * hidden + kinds * tiles * places * hidden + 2 * kinds * tiles * hidden),
        _linear("multi_modal_projector", out, text, bias=True),
    )


def qwen2_vision(vision: Fields, outer: Fields, text: int) -> tuple[Weight, ...]:
    del outer
    hidden = vision.integer("embed_dim", default=1280)
    layers, patch, merge = _qwen_grid(vision)
    width = int(hidden * vision.number("mlp_ratio", 4.0, 0.1, 100.0))
    merged = hidden * merge**2
    return (
        *tower(hidden, width, layers, path="visual"),
        _plain(3 * 2 * patch**2 * hidden + 2 * hidden),
        _linear("merger.mlp.0", merged, merged, bias=True),
        _linear("merger.mlp.2", merged, text, bias=True),
    )


def _qwen_grid(vision: Fields) -> tuple[int, int, int]:
    """(layers, patch size, merged patches on a side)."""
    return (
        vision.integer("depth", high=MOST_TOWER_LAYERS, default=32),
        vision.integer("patch_size", "spatial_patch_size", high=256, default=14),
        vision.integer("spatial_merge_size", high=64, default=2),
    )


def qwen2_5_vision(vision: Fields, outer: Fields, text: int) -> tuple[Weight, ...]:
    del outer
    hidden = vision.integer("hidden_size", default=1280)
    layers, patch, merge = _qwen_grid(vision)
    width = vision.integer("intermediate_size", default=3420)
    merged = hidden * merge**2
    return (
        *tower(hidden, width, layers, path="visual", gated=True, norms=2),
        _plain(3 * 2 * patch**2 * hidden + hidden),
        _linear("merger.mlp.0", merged, merged, bias=True),
        _linear("merger.mlp.2", merged, vision.quiet("out_hidden_size", text, 1), bias=True),
    )


def qwen3_vision(vision: Fields, outer: Fields, text: int) -> tuple[Weight, ...]:
    """Qwen3-VL and, without deep-stacked mergers, Qwen 3.5."""
    del outer
    hidden = vision.integer("hidden_size", default=1152)
    width = vision.integer("intermediate_size", default=4304)
    layers = vision.integer("depth", high=MOST_TOWER_LAYERS, default=27)
    patch = vision.integer("patch_size", high=256, default=16)
    merge = vision.integer("spatial_merge_size", high=64, default=2)
    places = vision.integer("num_position_embeddings", default=2304)
    deep = len(vision.integers("deepstack_visual_indexes") or ())
    merged, out = hidden * merge**2, vision.quiet("out_hidden_size", text, 1)
    return (
        *tower(hidden, width, layers, path="visual"),
        _plain(3 * 2 * patch**2 * hidden + hidden + places * hidden + 2 * hidden + 2 * merged * deep),
        _linear("merger.linear_fc1", merged, merged, bias=True, copies=1 + deep),
        _linear("merger.linear_fc2", merged, out, bias=True, copies=1 + deep),
    )


def pixtral(vision: Fields, outer: Fields, text: int) -> tuple[Weight, ...]:
    hidden, width, layers, patch = _base(vision)
    merge = outer.quiet("spatial_merge_size", 1, 1, 64)
    bias = outer.flag("multimodal_projector_bias", False)
    merging = (_plain(hidden), _linear("patch_merger", hidden * merge**2, hidden)) if merge > 1 else ()
    return (
        *tower(hidden, width, layers, bias=False, mlp_bias=False, gated=True, norms=2),
        _plain(3 * patch**2 * hidden + hidden),
        *merging,
        _linear("multi_modal_projector.linear_1", hidden, text, bias=bias),
        _linear("multi_modal_projector.linear_2", text, text, bias=bias),
    )


def kimi_vision(vision: Fields, outer: Fields, text: int) -> tuple[Weight, ...]:
    """MoonViT: as SigLIP, with rotary positions beside a learnt grid, and a two-layer projector."""
    del outer
    hidden, width = vision.integer("vt_hidden_size"), vision.integer("vt_intermediate_size")
    layers = vision.integer("vt_num_hidden_layers", high=MOST_TOWER_LAYERS)
    patch = vision.integer("patch_size", high=256, default=14)
    places = vision.quiet("init_pos_emb_height", 64, 1) * vision.quiet("init_pos_emb_width", 64, 1)
    kernel = vision.integers("merge_kernel_size", 1, 64) or (2, 2)
    merged = vision.quiet("mm_hidden_size", hidden, 1) * kernel[0] * kernel[-1]
    return (
        *tower(hidden, width, layers),
        _plain(3 * patch**2 * hidden + hidden + places * hidden + 2 * hidden + 2 * hidden),
        _linear("mm_projector.linear_1", merged, merged, bias=True),
        _linear("mm_projector.linear_2", merged, text, bias=True),
    )


Tower = Callable[[Fields, Fields, int], tuple[Weight, ...]]
TOWERS: dict[str, Tower] = {
    "gemma3": siglip,
    "gemma4": gemma4_vision,
    "llama4": llama4_vision,
    "mllama": mllama_vision,
    "qwen2_vl": qwen2_vision,
    "qwen2_5_vl": qwen2_5_vision,
    "qwen3_vl": qwen3_vision,
    "mistral3": pixtral,
    "kimi_k25": kimi_vision,
}
"""by the name of the family that has it"""
