"""The memory of one training step and of one prediction pass, by a formula of a model's architecture.

The peak of a step is weights + gradients + what autograd keeps + logits; the peak of a pass is weights + the
working memory of one layer + keys and values + logits (Korthikanti et al. 2022, arXiv 2205.05198). `estimate`
adds the optimizer's states.

- Weights: 4 bytes each where all learn; where adapters learn, 2 bytes on a GPU and on a CPU that computes in
  bf16. NF4 takes 4 bits, a scale of 8 bits for 64 weights, and one of 32 bits for 256 of these (Dettmers et
  al. 2023, arXiv 2305.14314). Before training, peft turns all other weights of a model in NF4 into fp32. A
  CPU with enough memory dequantises NF4 (`backbones.dequantises`).
- Gradients: 4 bytes for each weight that learns. Those of a layer are made when what autograd kept of it is
  freed, so only the larger of the two counts, except where a step adds up the gradients of several batches.
- Kept by autograd: layer by layer, see `layers`.
- Logits: scores, their logarithms and gradients in fp32, a generator's for its answers alone.

Parameters are counted on torch's meta device, where tensors have shapes and no data.
"""

from __future__ import annotations

import functools
import json
from typing import Any, NamedTuple

from ner_utils.config.schema import Lora, Model
from ner_utils.config.strict_yaml import ConfigError
from ner_utils.experiments.memory import layers
from ner_utils.experiments.memory.layers import Text

NF4 = 0.5 + 1 / 64 + 4 / (64 * 256)  # bytes of a weight
HEADS = ("classifier", "score", "lm_head")  # neither quantised nor adapted


class Batch(NamedTuple):
    """Tokens of the longest example and of its parts; ``shared`` begins every prompt."""

    longest: int
    prompt: int
    answer: int
    shared: int


class Footprint(NamedTuple):
    """Numbers of parameters, and bytes: weights and the peak of a step and of a pass, weights included.

    ``training`` includes gradients and not the optimizer's states. An untrained model has 0 for training.
    """

    parameters: int
    trainable: int
    weights: int
    training: int
    prediction_weights: int
    prediction: int


class Sizes(NamedTuple):
    """Numbers of parameters without adapters: all, and those of the output layer. Inputs and outputs of each
    other linear layer, by name."""

    parameters: int
    head: int
    linear: dict[str, tuple[int, int]]

    @property
    def in_linear(self) -> int:
        """Weights of linear layers without the output layer: those that NF4 packs."""
        return sum(inputs * outputs for inputs, outputs in self.linear.values())

    def adapted(self, lora: Lora | None) -> list[tuple[int, int]]:
        """Inputs and outputs of the layers that carry an adapter."""
        if lora is None:
            return []
        names = lora.target_modules
        return [
            size
            for name, size in self.linear.items()
            if names == "all-linear" or name.split(".")[-1] in names
        ]


def footprint(
    model: Model, tags: int, trained: bool, gpu: bool, batch: Batch, sparing: bool = False
) -> Footprint:
    """Footprint of a model; ``tags`` is the number of a tagger's outputs. ``sparing``: with gradient
    checkpointing, 16 bits for all that is not in 4 bits, and one sentence at a time. Raises `ConfigError`
    without an architecture."""
    from ner_utils.models.backbones import cpu_has_bf16, dequantises  # late: it imports torch

    shape, writes = configuration(model), model.approach == "generation"
    sizes = sizes_of(model, tags)
    halved = gpu or (model.cpu_dtype == "bfloat16" and cpu_has_bf16())
    width = 2 if halved and model.lora else 4
    quantised = model.quantisation is not None and (gpu or not dequantises(width * sizes.in_linear))

    def weights(packed: bool, others: int) -> float:
        in_nf4 = sizes.in_linear * packed
        return NF4 * in_nf4 + others * (sizes.parameters - in_nf4)

    if not trained:
        held = round(weights(False, width))
        return Footprint(sizes.parameters, 0, 0, 0, held, held + _prediction_pass(model, shape, width, batch))
    adapters, learning = 0, sizes.parameters
    if model.lora:
        adapters = model.lora.r * sum(map(sum, sizes.adapted(model.lora)))
        adapters += 0 if writes else sizes.head  # peft trains a copy of a tagger's head
        learning = adapters
    loaded = round(weights(quantised, 4 if quantised and not sparing else width)) + 4 * adapters
    step = _training_step(model, shape, sizes, halved, quantised, batch, sparing, 4 * learning)
    # Prediction is in 4 bits only where the adapter is not merged into the weights.
    apart = model.quantisation is not None and writes and not model.merge_adapter
    held = round(weights(apart and quantised, width)) + 4 * adapters * apart
    peak = held + _prediction_pass(model, shape, width, batch)
    return Footprint(sizes.parameters + adapters, learning, loaded, loaded + step, held, peak)


def configuration(model: Model, **changes: Any) -> Any:
    """transformers' configuration of a model, from its declared architecture."""
    from transformers import AutoConfig  # late: it takes seconds to import

    if not model.architecture:
        raise ConfigError(
            f"{model.label}: architecture: not declared, so nothing is known before the download"
        )
    try:
        return AutoConfig.for_model(**(model.architecture | changes))
    except Exception as error:  # what its strict classes raise shares no base class
        raise ConfigError(f"{model.label}: architecture: {error}") from None


def sizes_of(model: Model, tags: int) -> Sizes:
    """Sizes of a model with an architecture; ``tags`` is the number of a tagger's outputs."""
    return count(json.dumps(model.architecture), 0 if model.approach == "generation" else tags)


@functools.cache
def count(architecture: str, tags: int) -> Sizes:
    """Sizes of an architecture (as JSON): a tagger with so many ``tags``, or with 0, a generator."""
    import torch  # late: it takes seconds to import, as the next lines do
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForTokenClassification

    from ner_utils.models import backbones

    backbones.register_qwen_tagger()
    changes = {"num_labels": tags} if tags else {}
    auto = AutoModelForTokenClassification if tags else AutoModelForCausalLM
    with torch.device("meta"):
        model = auto.from_config(AutoConfig.for_model(**(json.loads(architecture) | changes)))
    linear, head = {}, 0
    for name, module in model.named_modules():
        if name.split(".")[-1] in HEADS:
            head += sum(part.numel() for part in module.parameters())
        elif isinstance(module, torch.nn.Linear):
            linear[name] = (module.in_features, module.out_features)
    return Sizes(sum(part.numel() for part in model.parameters()), head, linear)


def _training_step(
    model: Model,
    shape: Any,
    sizes: Sizes,
    halved: bool,
    quantised: bool,
    batch: Batch,
    sparing: bool,
    gradients: int,
) -> int:
    """Bytes at the peak of a step, without weights. ``halved``: computed in 16 bits, by a GPU or a CPU."""
    from ner_utils.models.generation.packed import shares_beginnings  # late: it imports torch

    depth, width, writes = shape.num_hidden_layers, 2 if halved else 4, model.approach == "generation"
    rows = 1 if sparing else model.training.batch_size
    shared = batch.shared if writes and not sparing and shares_beginnings(shape) else 0
    text = Text(rows, batch.longest, rows * (batch.longest - shared) + shared)
    layer = layers.kept(shape, text, halved)
    layer += _kept_by_adapters(model, shape, sizes, text, halved, quantised and not sparing)
    hidden = text.tokens * shape.hidden_size
    # With checkpointing, layers keep their inputs, and one layer at a time is computed again.
    kept = (depth * width * hidden + layer if sparing else depth * layer) + 3 * 4 * hidden  # and around them
    if shared:  # keys and values of the beginning, once more for every row
        kept += depth * 2 * 4 * rows * shared * shape.hidden_size
    outputs = rows * batch.answer * shape.vocab_size if writes else text.tokens * shape.num_labels
    logits = outputs * (10 if halved else 8)
    working = 2 * width * text.tokens * layers.feed_forward(shape)
    if quantised:  # the largest layer's weights, unpacked
        working += width * max(inputs * outputs for inputs, outputs in sizes.linear.values())
    first = gradients if model.training.accumulation_steps > 1 else 0
    return round(max(first + kept + max(logits, working), gradients + layer + working))


def _kept_by_adapters(model: Model, shape: Any, sizes: Sizes, text: Text, halved: bool, norms: bool) -> float:
    """Bytes that adapters keep of one layer: outputs of their first matrices, and in 16 bits copies of what
    learns. Where all weights learn, such copies are of all linear layers. ``norms``: norms pass on fp32, of
    which linear layers keep copies."""
    depth, hidden, inner = shape.num_hidden_layers, shape.hidden_size, layers.feed_forward(shape)
    if not model.lora:
        return 2 * sizes.in_linear / depth * halved
    adapted, r = sizes.adapted(model.lora), model.lora.r
    kept = text.tokens * r * len(adapted) / depth * (2 if halved else 4)
    if halved:
        kept += 2 * r * sum(map(sum, adapted)) / depth + norms * text.tokens * (8 * hidden + 6 * inner)
    if model.lora.dropout:  # masks: bytes on a GPU, fp32 on a CPU, which also keeps what they let through
        kept += text.tokens * (6 * hidden + inner if halved else 40 * hidden + 4 * inner)
    return kept


def _prediction_pass(model: Model, shape: Any, width: int, batch: Batch) -> int:
    """Bytes at the peak of a pass, without weights."""
    writes = model.approach == "generation"
    length = batch.prompt if writes else batch.longest
    rows = model.prediction_batch_size if writes else max(1, model.prediction_batch_tokens // length)
    text = Text(rows, length, rows * length)
    token, row = layers.remembered(shape, width)
    peak = layers.working(shape, text, width) + token * text.tokens + row * rows
    if writes:
        # The store of keys and values has a quarter more room than it needs; scores are read in fp32, twice.
        room = row * rows + token * rows * 5 * (length + model.max_new_tokens) // 4
        peak = max(peak, room + 2 * 4 * rows * shape.vocab_size)
    return round(peak)
