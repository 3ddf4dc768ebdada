"""The memory of a model from its architecture: a formula for one training step and one prediction pass.

Bytes at the peak of a step are weights + gradients + what autograd keeps + logits, and at the peak of a pass
weights + the working memory of a layer + keys and values (Korthikanti et al. 2022, arXiv 2205.05198). The
optimizer's states are counted in `fit`.

- Weights: 4 bytes each where all learn or a CPU computes, 2 bytes beside adapters on a GPU; NF4 takes 4 bits
  and, for each block of 64, a scale of 8 bits (QLoRA: Dettmers et al. 2023, arXiv 2305.14314). peft turns what
  is not in 4 bits into fp32 before training.
- Gradients: 4 bytes for each weight that learns. Those of a layer are made when what autograd kept of it is
  freed, so the larger of the two counts, except where a step gathers the gradients of several batches.
- Kept of a layer: its `Layer`. The numbers follow from the operations in transformers' modelling files, each
  of which keeps its inputs or its output in the dtype in which it computes; they are those of autograd's own
  accounting, layer by layer, to 1 %.
- Logits: the scores in fp32, their logarithms and their gradient, of answers alone.

Parameters are counted on torch's meta device, where tensors have shapes and no data.
"""

from __future__ import annotations

import functools
import json
from typing import Any, NamedTuple

from ner_utils.config.load import ConfigError
from ner_utils.config.schema import Model

NF4 = 0.5 + 1 / 64 + 4 / (64 * 256)  # bytes of a weight: 4 bits, a scale for 64, a scale for 256 scales
HEADS = ("classifier", "score", "lm_head")  # never quantised, never adapted


class Batch(NamedTuple):
    """Tokens of the longest example and of its parts; ``shared`` begins every prompt."""

    longest: int
    prompt: int
    answer: int
    shared: int


class Footprint(NamedTuple):
    """Numbers of parameters, and bytes: weights and the most that is alive, in training and in prediction.

    ``training`` is the step's own peak, gradients included, the optimizer's states not. What is not trained
    has 0 there.
    """

    parameters: int
    trainable: int
    weights: int
    training: int
    prediction_weights: int
    prediction: int


class Layer(NamedTuple):
    """Bytes for each token that a layer keeps for its gradient, per unit of the hidden size, of the feed-forward
    size, and of attention heads × tokens of the sentence."""

    hidden: float
    feed_forward: float
    scores: float = 0


# By transformers' type of model: on a CPU in fp32, where attention keeps scores, probabilities and dropout's
# mask; and on a GPU under autocast to 16 bits, whose fused attention keeps its inputs alone.
LAYERS = {
    "bert": (Layer(40, 8, 12), Layer(26, 4)),
    "deberta-v2": (Layer(40, 8, 48), Layer(26, 4, 26)),
    "modernbert": (Layer(40, 16), Layer(24, 8)),
    "llama": (Layer(32, 16), Layer(28, 8)),
}


class Sizes(NamedTuple):
    """A model without adapters: its parameters, those of its output layer, and inputs and outputs of each
    other linear layer, by name."""

    parameters: int
    head: int
    linear: dict[str, tuple[int, int]]

    @property
    def packed(self) -> int:
        """Weights that NF4 packs."""
        return sum(a * b for a, b in self.linear.values())


def footprint(
    model: Model, tags: int, trained: bool, gpu: bool, batch: Batch, sparing: bool = False
) -> Footprint:
    """Footprint of a model with so many tags. ``sparing``: with gradient checkpointing, 16 bits for all that
    is not 4 bits already, and one sentence at a time. Raises `ConfigError` without an architecture."""
    shape = configuration(model)
    sizes = _sizes(json.dumps(model.architecture), tags if model.approach == "tagging" else 0)
    quantised, writes = model.quantisation is not None, model.approach == "generation"
    width = 2 if gpu and model.lora else 4
    adapted = _adapted(model, sizes)
    adapters = model.lora.r * sum(a + b for a, b in adapted) if model.lora else 0
    copy = 0 if writes or not model.lora else sizes.head  # peft trains a copy of a tagger's head

    def weights(packed: bool, rest: float) -> float:
        return NF4 * sizes.packed + rest * (sizes.parameters - sizes.packed) if packed else rest * sizes.parameters

    if not trained:
        held = weights(False, width)
        return Footprint(sizes.parameters, 0, 0, 0, round(held), round(held + _pass(model, shape, width, batch)))
    learning = adapters + copy if model.lora else sizes.parameters
    loaded = weights(quantised, 4 if quantised and not sparing else width) + 4 * (adapters + copy)
    step = _step(model, shape, sizes, gpu, batch, sparing, 4 * learning)
    apart = quantised and writes and not model.merge_adapter
    held = weights(apart, width) + 4 * adapters * apart
    total = sizes.parameters + adapters + copy
    peaks = (loaded, loaded + step, held, held + _pass(model, shape, width, batch))
    return Footprint(total, learning, *map(round, peaks))


def configuration(model: Model) -> Any:
    """transformers' configuration of a model, from its declared architecture."""
    from transformers import AutoConfig

    if not model.architecture:
        raise ConfigError(
            f"{model.label}: architecture: not declared, so nothing is known before the download"
        )
    try:
        return AutoConfig.for_model(**model.architecture)
    except Exception as error:  # what its strict classes raise shares no base class
        raise ConfigError(f"{model.label}: architecture: {error}") from None


@functools.cache
def _sizes(architecture: str, tags: int) -> Sizes:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForTokenClassification

    from ner_utils.models import backbones

    backbones.register_qwen_tagger()
    shape = AutoConfig.for_model(**json.loads(architecture) | ({"num_labels": tags} if tags else {}))
    auto = AutoModelForTokenClassification if tags else AutoModelForCausalLM
    with torch.device("meta"):
        made = auto.from_config(shape)
    heads = {name for name, _ in made.named_modules() if name.split(".")[-1] in HEADS}
    linear = {
        name: (module.in_features, module.out_features)
        for name, module in made.named_modules()
        if isinstance(module, torch.nn.Linear) and name not in heads
    }
    head = sum(part.numel() for name in heads for part in made.get_submodule(name).parameters())
    return Sizes(sum(part.numel() for part in made.parameters()), head, linear)


def _adapted(model: Model, sizes: Sizes) -> list[tuple[int, int]]:
    """Inputs and outputs of the linear layers that carry an adapter."""
    if not model.lora:
        return []
    names = model.lora.target_modules
    return [
        size for name, size in sizes.linear.items() if names == "all-linear" or name.split(".")[-1] in names
    ]


def _step(
    model: Model, shape: Any, sizes: Sizes, gpu: bool, batch: Batch, sparing: bool, gradients: int
) -> float:
    """The most that is alive besides weights in a training step."""
    rows, layers = 1 if sparing else model.training.batch_size, shape.num_hidden_layers
    writes, length, width = model.approach == "generation", batch.longest, 2 if gpu else 4
    shared = batch.shared if writes and not sparing and shares(shape) else 0
    tokens = rows * (length - shared) + shared
    layer = _layer_of(model, shape, sizes, gpu, sparing, rows, tokens, length)
    answers = rows * batch.answer if writes else tokens
    logits = answers * _outputs(shape, writes) * (10 if gpu else 8)
    kept = layers * tokens * shape.hidden_size * width + layer if sparing else layers * layer
    kept += 12 * tokens * shape.hidden_size
    if shared:
        kept += layers * rows * shared * 2 * 4 * shape.hidden_size
    working = 2 * tokens * shape.intermediate_size * width
    if model.quantisation:
        working += max(a * b for a, b in sizes.linear.values()) * width
    before = gradients if model.training.accumulation_steps > 1 else 0
    return max(before + kept + max(logits, working), gradients + layer + working)


def _outputs(shape: Any, writes: bool) -> int:
    return shape.vocab_size if writes else shape.num_labels


def _layer_of(model, shape, sizes, gpu, sparing, rows, tokens, length) -> float:
    """Bytes that one layer keeps for its gradient."""
    family = shape.model_type if shape.model_type in LAYERS else "bert"
    per = LAYERS[family][gpu]
    h, f, heads = shape.hidden_size, shape.intermediate_size, shape.num_attention_heads
    kept = tokens * (per.hidden * h + per.feed_forward * f + per.scores * heads * length)
    linear = sizes.packed / shape.num_hidden_layers
    if not model.lora:
        return kept + 2 * linear * gpu
    r, adapted = model.lora.r, _adapted(model, sizes)
    number = len(adapted) / shape.num_hidden_layers
    kept += tokens * number * r * (2 if gpu else 4)
    if gpu:
        kept += 2 * r * sum(a + b for a, b in adapted) / shape.num_hidden_layers
        if model.quantisation and not sparing:
            kept += tokens * (8 * h + 6 * f)
    if model.lora.dropout:
        kept += tokens * (6 * h + f if gpu else 40 * h + 4 * f)
    return kept


def shares(shape: Any) -> bool:
    from ner_utils.models.generation.packed import shares_beginnings

    return shares_beginnings(shape)


def _pass(model: Model, shape: Any, width: int, batch: Batch) -> float:
    """The most that is alive besides weights while one batch is predicted."""
    h, f, layers = shape.hidden_size, shape.intermediate_size, shape.num_hidden_layers
    heads = shape.num_attention_heads
    keys = 2 * width * (getattr(shape, "num_key_value_heads", None) or heads)
    keys *= getattr(shape, "head_dim", None) or h // heads
    kinds = getattr(shape, "layer_types", None) or []
    attending = sum(kind == "full_attention" for kind in kinds) or layers
    writes = model.approach == "generation"
    rows = model.prediction_batch_size if writes else max(1, model.prediction_batch_tokens // batch.longest)
    length = batch.prompt if writes else batch.longest
    tokens = rows * length
    if shape.model_type == "deberta-v2":
        span = 2 * shape.position_buckets
        return tokens * (30 * h + heads * (16 * length + 4 * span)) + rows * span * 8 * h
    if shape.model_type == "modernbert":
        return tokens * width * max(5 * h + 4 * f, 10 * h)
    if shape.model_type == "bert":
        return tokens * width * max(3 * h + 2 * f, 8 * h)
    working = tokens * width * (4 * h + 3 * f)
    cache = attending * keys * tokens
    if not writes:
        return working + cache
    room = attending * keys * rows * 5 * (length + model.max_new_tokens) // 4
    return max(cache + working, room + 2 * rows * shape.vocab_size * 4)
