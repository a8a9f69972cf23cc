"""Encoders for embedding and reranking (BERT, RoBERTa, XLM-R, NomicBERT, GTE, ModernBERT), and Whisper.

An encoder keeps nothing of a request once it has answered: its layers have no state.
"""

from __future__ import annotations

from slipway.architectures.blocks import Heads, attention, kv_group, mlp
from slipway.architectures.families.decoder import End
from slipway.architectures.fields import Fields
from slipway.architectures.layers import layer_count
from slipway.architectures.parts import Draft, Layer, Linear, Plain, Weight, norm
from slipway.architectures.types import LayerGroup

NO_STATE = LayerGroup("none", 1)


def _head(hidden: int, end: End, *, dense: bool) -> tuple[Weight, ...]:
    """What a reranker scores with: a pooler's or classifier's dense layer, and one row a label."""
    square = (Linear("other", "pooler.dense", hidden, hidden, bias=True),) if dense else ()
    if end.kind != "score":
        return square
    return (*square, Linear("other", "classifier.out_proj", hidden, end.labels, bias=True))


def _around(hidden: int, looked_up: int, head: tuple[Weight, ...]) -> tuple[Weight, ...]:
    """Beside the words: `looked_up` elements of tables of positions and types, their norm, and the head."""
    return (Plain("embedding", looked_up, "tensor", read=0.0), norm(hidden, 1, bias=True), *head)


def _encoder(  # noqa: PLR0917 - the dimensions of one kind of model, named at every call
    config: Fields,
    hidden: int,
    heads: int,
    vocab: int,
    context: int,
    width: int,
    layer: Layer,
    around: tuple[Weight, ...],
) -> Draft:
    table = Plain("embedding", vocab * hidden, "tensor", read=0.0)
    return Draft(
        hidden=hidden,
        heads=heads,
        vocab=vocab,
        context=context,
        intermediate=width,
        layers=(layer,) * layer_count(config, "num_hidden_layers" if "num_hidden_layers" in config else "n_layer"),
        outside=(table, *around),
    )


def bert(config: Fields, end: End, model_type: str) -> Draft:
    """BERT, RoBERTa and MPNet: learnt positions, biases everywhere."""
    hidden, vocab = config.integer("hidden_size"), config.integer("vocab_size", high=2**26)
    heads, width = config.integer("num_attention_heads", high=2**16), config.integer("intermediate_size")
    positions, types = config.integer("max_position_embeddings"), config.quiet("type_vocab_size", 2, 0)
    relative = 0
    if model_type == "mpnet":
        types, relative = 0, config.quiet("relative_attention_num_buckets", 32) * heads
    # RoBERTa's positions start behind the padding token, so two of them are never used.
    context = max(positions - 2, 1) if model_type != "bert" else positions
    square = _bert_attention(hidden, bias=True)
    layer = Layer((*square, *mlp(hidden, width, gated=False, bias=True), norm(hidden, 2, bias=True)), NO_STATE)
    around = _around(hidden, (positions + types) * hidden + relative, _head(hidden, end, dense=True))
    return _encoder(config, hidden, heads, vocab, context, width, layer, around)


def _bert_attention(hidden: int, *, bias: bool) -> tuple[Weight, ...]:
    return attention(hidden, Heads(1, 1, hidden), qkv_bias=bias, o_bias=bias, prefix="attention.self")


def nomic(config: Fields, end: End, model_type: str) -> Draft:
    """NomicBERT: rotary positions, a gated feed-forward, no biases. Its files use GPT-2's names."""
    del model_type
    if config.quiet("num_experts", 0) or config.quiet("moe_every_n_layers", 0):
        fix = "Use a model without them, or a GGUF file of this one"
        raise config.fault(
            "num_experts", "is written: NomicBERT with experts, whose tensors Slipway does not know", fix
        )
    hidden = config.integer("n_embd", "hidden_size")
    heads = config.integer("n_head", "num_attention_heads", high=2**16)
    width = config.maybe("n_inner") or config.quiet("intermediate_size", 4 * hidden, 1)
    vocab, types = config.integer("vocab_size", high=2**26), config.quiet("type_vocab_size", 2, 0)
    context = config.integer("n_positions", "max_position_embeddings", high=2**31, default=2048)
    qkv, up = config.flag("qkv_proj_bias", False), config.flag("mlp_fc1_bias", False)
    block = mlp(hidden, width, bias=up)
    layer = Layer((*_bert_attention(hidden, bias=qkv), *block, norm(hidden, 2, bias=True)), NO_STATE)
    around = _around(hidden, types * hidden, _head(hidden, end, dense=False))
    return _encoder(config, hidden, heads, vocab, context, width, layer, around)


def gte(config: Fields, end: End, model_type: str) -> Draft:
    """Alibaba's "new" BERT: rotary positions, a gated feed-forward whose last matrix alone has a bias."""
    del model_type
    hidden, vocab = config.integer("hidden_size"), config.integer("vocab_size", high=2**26)
    heads, width = config.integer("num_attention_heads", high=2**16), config.integer("intermediate_size")
    context, types = config.integer("max_position_embeddings", high=2**31), config.quiet("type_vocab_size", 0, 0)
    block = (*mlp(hidden, width), Plain("mlp", hidden))
    layer = Layer((*_bert_attention(hidden, bias=True), *block, norm(hidden, 2, bias=True)), NO_STATE)
    around = _around(hidden, types * hidden, _head(hidden, end, dense=end.kind == "score"))
    return _encoder(config, hidden, heads, vocab, context, width, layer, around)


def modernbert(config: Fields, end: End, model_type: str) -> Draft:
    """ModernBERT: no biases, a gated feed-forward, no norm before the first attention."""
    del model_type
    hidden, vocab = config.integer("hidden_size"), config.integer("vocab_size", high=2**26)
    heads, width = config.integer("num_attention_heads", high=2**16), config.integer("intermediate_size")
    context = config.integer("max_position_embeddings", high=2**31, default=8192)
    layer = Layer((*_bert_attention(hidden, bias=False), *mlp(hidden, width), norm(hidden, 2)), NO_STATE)
    score: tuple[Weight, ...] = ()
    if end.kind == "score":
        head = Linear("other", "head.dense", hidden, hidden)
        score = (head, norm(hidden), Linear("other", "classifier", hidden, end.labels, bias=True))
    # One norm for the embeddings, one at the end, and the first layer's that is not there.
    return _encoder(config, hidden, heads, vocab, context, width, layer, (norm(hidden), *score))


def whisper(config: Fields, end: End, model_type: str) -> Draft:
    """Whisper: an encoder of 30 seconds of sound, a decoder that attends to itself and to the encoder's output.

    Its cross-attention keeps keys and values of all source positions from the first token on, and no more later.
    """
    del end, model_type
    hidden, vocab = config.integer("d_model"), config.integer("vocab_size", high=2**26)
    heads = config.integer("decoder_attention_heads", high=2**16)
    if hidden % heads:
        raise config.fault("decoder_attention_heads", f"is {heads}, which does not divide d_model {hidden}")
    spec = Heads(heads, heads, hidden // heads)
    mels, source = config.integer("num_mel_bins", default=80), config.integer("max_source_positions", default=1500)
    target = config.integer("max_target_positions", default=448)
    widths = config.integer("encoder_ffn_dim"), config.integer("decoder_ffn_dim")

    def block(width: int, attentions: int) -> tuple[Weight, ...]:
        found = _whisper_attention(hidden) * attentions
        return (*found, *mlp(hidden, width, gated=False, bias=True), norm(hidden, attentions + 1, bias=True))

    crossing = kv_group(spec, "cross", source)
    encoder = Layer(block(widths[0], 1), NO_STATE)
    decoder = Layer(block(widths[1], 2), kv_group(spec), crossing)
    return Draft(
        hidden=hidden,
        heads=heads,
        vocab=vocab,
        context=target,
        intermediate=max(widths),
        layers=(decoder,) * layer_count(config, "decoder_layers"),
        beside=(encoder,) * layer_count(config, "encoder_layers"),
        outside=(
            Plain("embedding", vocab * hidden, "tensor"),
            Plain("embedding", (source + target) * hidden, read=0.0),
            Plain("audio", 3 * (mels + hidden) * hidden + 2 * hidden, read=0.0),
            norm(hidden, 2, bias=True),
        ),
        extra={"head_dim": spec.dim, "source_positions": source},
    )


def _whisper_attention(hidden: int) -> tuple[Weight, ...]:
    """Keys have no bias."""
    return (*attention(hidden, Heads(1, 1, hidden), o_bias=True), Plain("attention", 2 * hidden))
