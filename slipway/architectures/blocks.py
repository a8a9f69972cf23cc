"""The tensors of attention and feed-forward layers, as the implementations in transformers lay them out."""

from __future__ import annotations

from dataclasses import dataclass

from slipway.architectures.parts import Linear, Plain, Weight
from slipway.architectures.types import LayerGroup, PartName, State


@dataclass(frozen=True)
class Heads:
    """Attention of one layer with keys and values: MHA, GQA (`kv` < `query`) or MQA (`kv` = 1)."""

    query: int
    kv: int
    dim: int
    value_dim: int = 0
    """elements of one value; 0 is as many as of a key"""

    @property
    def value(self) -> int:
        return self.value_dim or self.dim


def attention(
    hidden: int,
    heads: Heads,
    *,
    qkv_bias: bool = False,
    o_bias: bool = False,
    fused: bool = False,
    gated: bool = False,
    shared_kv: bool = False,
    k_eq_v: bool = False,
    prefix: str = "self_attn",
    out: str = "o_proj",
) -> tuple[Weight, ...]:
    """Projections of one layer. `gated`: the query projection makes an output gate too (Qwen3-Next). `shared_kv`: keys
    and values are another layer's. `k_eq_v`: the keys' projection serves as the values' (Gemma 4)."""
    query = heads.query * heads.dim * (2 if gated else 1)
    key, value = (0, 0) if shared_kv else (heads.kv * heads.dim, 0 if k_eq_v else heads.kv * heads.value)
    wide = {"qkv_proj": query + key + value} if fused else {"q_proj": query, "k_proj": key, "v_proj": value}
    return (
        *(
            Linear("attention", f"{prefix}.{name}", hidden, width, bias=qkv_bias)
            for name, width in wide.items()
            if width
        ),
        Linear("attention", f"{prefix}.{out}", heads.query * heads.value, hidden, bias=o_bias),
    )


def kv_group(heads: Heads, state: State = "full", window: int = 0) -> LayerGroup:
    """What one such layer keeps."""
    windowed = window if state in {"sliding", "chunked", "cross"} else 0
    return LayerGroup(state, 1, heads.kv, heads.dim, heads.value, windowed)


@dataclass(frozen=True)
class Latent:
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434 section 2.1)."""

    heads: int
    q_rank: int
    """0: the query has no low rank"""
    kv_rank: int
    nope: int
    rope: int
    value: int
    bias: bool = False
    index_heads: int = 0
    """of the lightning indexer of sparse attention (DeepSeek-V3.2); 0 without"""
    index_dim: int = 0


def latent_attention(hidden: int, spec: Latent) -> tuple[Weight, ...]:
    """Projections of one MLA layer. What makes the compressed vectors is whole on every rank; heads are divided."""
    wide = spec.heads * (spec.nope + spec.rope)
    query: tuple[Weight, ...] = (Linear("attention", "self_attn.q_proj", hidden, wide),)
    if spec.q_rank:
        query = (
            Linear("attention", "self_attn.q_a_proj", hidden, spec.q_rank, bias=spec.bias, split="replicated"),
            Linear("attention", "self_attn.q_b_proj", spec.q_rank, wide),
            Plain("norms", spec.q_rank),
        )
    down = spec.kv_rank + spec.rope
    found = (
        *query,
        Linear("attention", "self_attn.kv_a_proj_with_mqa", hidden, down, bias=spec.bias, split="replicated"),
        Plain("norms", spec.kv_rank),
        Linear("attention", "self_attn.kv_b_proj", spec.kv_rank, spec.heads * (spec.nope + spec.value)),
        Linear("attention", "self_attn.o_proj", spec.heads * spec.value, hidden, bias=spec.bias),
    )
    if not spec.index_heads:
        return found
    index = "self_attn.indexer"
    return (
        *found,
        Linear("attention", f"{index}.wq_b", spec.q_rank, spec.index_heads * spec.index_dim, split="replicated"),
        Linear("attention", f"{index}.wk", hidden, spec.index_dim, split="replicated"),
        Linear("attention", f"{index}.weights_proj", hidden, spec.index_heads, split="replicated"),
        Plain("norms", 2 * spec.index_dim),
    )


def mlp(
    hidden: int,
    width: int,
    *,
    gated: bool = True,
    bias: bool = False,
    part: PartName = "mlp",
    prefix: str = "mlp",
    fused: bool = False,
    copies: int = 1,
    used: float = 1.0,
) -> tuple[Weight, ...]:
    """A feed-forward block: three matrices with a gate, two without; `copies` of it are experts."""
    up = {"gate_up_proj": 2 * width} if fused else {"gate_proj": width, "up_proj": width}
    return (
        *(
            Linear(part, f"{prefix}.{name}", hidden, wide, copies, used, bias)
            for name, wide in (up if gated else {"up_proj": width}).items()
        ),
        Linear(part, f"{prefix}.down_proj", width, hidden, copies, used, bias),
    )


@dataclass(frozen=True)
class Experts:
    """A mixture of experts, `shared` of them always used."""

    count: int
    per_token: int
    width: int
    shared_width: int = 0
    """of all shared experts together"""
    shared_name: str = "shared_experts"
    """of its module, as ignore lists write it"""
    shared_gate: bool = False
    router_bias: bool = False
    correction: bool = False
    """a vector that balances the load (DeepSeek-V3's e_score_correction_bias)"""
    gated: bool = True
    bias: bool = False

    @property
    def through(self) -> int:
        """Width that one token passes through."""
        return self.per_token * self.width + self.shared_width


def moe(hidden: int, spec: Experts, prefix: str = "mlp", router: str = "gate") -> tuple[Weight, ...]:
    """A router, its experts and the shared ones of one layer."""
    used = spec.per_token / spec.count
    found: tuple[Weight, ...] = (
        Linear("router", f"{prefix}.{router}", hidden, spec.count, bias=spec.router_bias, split="replicated"),
        *mlp(
            hidden,
            spec.width,
            gated=spec.gated,
            bias=spec.bias,
            part="experts",
            prefix=f"{prefix}.experts.0",
            copies=spec.count,
            used=used,
        ),
    )
    if spec.correction:
        found += (Plain("router", spec.count),)
    if spec.shared_width:
        shared = f"{prefix}.{spec.shared_name}"
        found += mlp(hidden, spec.shared_width, gated=spec.gated, part="shared_experts", prefix=shared)
    if spec.shared_gate:
        found += (Linear("router", f"{prefix}.shared_expert_gate", hidden, 1, split="replicated"),)
    return found
