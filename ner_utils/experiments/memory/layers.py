"""What one layer of a model takes in memory, by its kind of architecture.

In the formulas, ``hidden`` and ``inner`` are the sizes of the hidden states and of the feed-forward layer,
``heads`` is the number of attention's heads; each factor is a number of bytes. The factors follow from the
operations in transformers' modelling files: each keeps its inputs or its output in the dtype in which it
computes, fp32 on a CPU, 16 bits or fp32 under autocast on a GPU. They agree with a count of all tensors that
autograd kept of such layers to 2 %, for Qwen3.5 to 10 %. In a pair of factors, the first is a CPU's. An
architecture that is not named here is taken for one like Llama if it has heads of keys and values, else for
one like BERT.
"""

from __future__ import annotations

from typing import Any, NamedTuple

CHUNK = 64  # tokens that linear attention computes at once (Yang et al. 2024, arXiv 2412.06464)


class Text(NamedTuple):
    """What passes a model at once: sentences, tokens of each, and tokens to be computed."""

    rows: int
    length: int
    tokens: int


def feed_forward(shape: Any) -> int:
    """Size of the feed-forward layer."""
    return getattr(shape, "intermediate_size", None) or 4 * shape.hidden_size


def remembered(shape: Any, width: int) -> tuple[int, int]:
    """Bytes that a pass remembers of each token, keys and values of ``width`` bytes, and of each sentence,
    the states of linear attention in fp32. Models without heads of keys and values remember nothing."""
    heads = getattr(shape, "num_key_value_heads", None)
    if heads is None:
        return 0, 0
    size = getattr(shape, "head_dim", None) or shape.hidden_size // shape.num_attention_heads
    linear, full = _shares(shape)
    states = 0.0
    if linear:
        states = (
            linear * shape.linear_num_value_heads * shape.linear_key_head_dim * shape.linear_value_head_dim
        )
    depth = shape.num_hidden_layers
    return round(2 * width * full * depth * heads * size), round(4 * states * depth)


def kept(shape: Any, text: Text, gpu: bool) -> float:
    """Bytes that autograd keeps of a layer, by its mean over the layers of a model.

    On a CPU, attention with dropout keeps scores, probabilities and dropout's mask; a GPU's fused attention
    keeps none of the three (Dao et al. 2022, arXiv 2205.14135).
    """
    hidden, inner, heads = shape.hidden_size, feed_forward(shape), shape.num_attention_heads
    mask = (4, 0)[gpu] * text.length  # of tokens that each token must not attend to
    if shape.model_type == "deberta-v2":  # no fused attention; content and position attend to each other
        positions = _positions(shape)
        states = (44, 28)[gpu] * hidden + (8, 4)[gpu] * inner
        scores = (12, 7)[gpu] * text.length + (8, 4)[gpu] * positions
        tables = (8, 4)[gpu] * (text.rows + 1) * positions * hidden + 16 * text.length**2
        return text.tokens * (states + heads * scores) + tables
    if shape.model_type == "modernbert":
        return text.tokens * ((40, 24)[gpu] * hidden + (16, 8)[gpu] * inner + mask)
    linear, full = _shares(shape)
    if linear:  # as Qwen3.5
        full *= (36, 30)[gpu] * heads * shape.head_dim
        linear *= _linear_attention(shape, ((28, 54, 40, 4, 810), (16, 33, 34, 7, 1190))[gpu])
        return text.tokens * ((16, 12)[gpu] * hidden + (16, 8)[gpu] * inner + full + linear)
    if getattr(shape, "num_key_value_heads", None):  # decoders as Llama
        return text.tokens * ((32, 28)[gpu] * hidden + (16, 8)[gpu] * inner + mask)
    return text.tokens * ((40, 26)[gpu] * hidden + (8, 4)[gpu] * inner + (12, 0)[gpu] * heads * text.length)


def working(shape: Any, text: Text, width: int) -> float:
    """Bytes alive in a layer at its worst moment while it predicts with numbers of ``width`` bytes: in its
    feed-forward part, or in its attention."""
    hidden, inner, heads = width * shape.hidden_size, width * feed_forward(shape), shape.num_attention_heads
    if shape.model_type == "deberta-v2":  # the model keeps the hidden states of all layers
        positions = _positions(shape)
        states = (3.5 + shape.num_hidden_layers) * hidden + width * heads * (4 * text.length + positions)
        return text.tokens * states + 2 * text.rows * positions * hidden
    if shape.model_type == "modernbert":
        return text.tokens * max(5 * hidden + 4 * inner, 10 * hidden)
    if _shares(shape)[0]:
        attention = _linear_attention(shape, (2 * width, 22, 24, 5, 646))
        return text.tokens * (4 * hidden + max(3 * inner, attention))
    if getattr(shape, "num_key_value_heads", None):
        return text.tokens * (4 * hidden + 3 * inner)
    return text.tokens * max(3 * hidden + 2 * inner, 8 * hidden)


def _positions(shape: Any) -> int:
    """Relative positions that DeBERTa tells apart, to the left and to the right."""
    return 2 * max(shape.position_buckets, 0)


def _shares(shape: Any) -> tuple[float, float]:
    """Shares of the layers with linear and with full attention."""
    kinds = getattr(shape, "layer_types", None) or []
    linear = kinds.count("linear_attention") / shape.num_hidden_layers
    return linear, 1 - linear


def _linear_attention(shape: Any, factors: tuple[float, float, float, float, float]) -> float:
    """Bytes of a token in gated linear attention in fp32, without a kernel of its own: ``factors`` of its
    keys, of keys repeated for every head of values, of values, of the state that a chunk passes on, and of
    each head, for a chunk's matrices of tokens by tokens."""
    heads, key, value = shape.linear_num_value_heads, shape.linear_key_head_dim, shape.linear_value_head_dim
    sizes = (shape.linear_num_key_heads * key, heads * key, heads * value, heads * key * value / CHUNK, heads)
    return sum(factor * size for factor, size in zip(factors, sizes, strict=True))
