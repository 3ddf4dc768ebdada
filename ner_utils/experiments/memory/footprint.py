"""The memory of a model from its architecture alone: one training step and one prediction pass, traced.

All runs as it would, transformers' model, bitsandbytes' 4-bit layers, peft's adapters and autograd, but with
tensors that have shapes and no data (torch's FakeTensorMode), while a ledger adds up the bytes of all
storages alive. So weights, adapters, gradients, what autograd keeps of each kind of layer, and the logits of
answer positions are what the libraries make of them, by no formula of ours. A GPU is imitated on the CPU,
where torch may have been built for no other: the functions that differ are replaced. Layers repeat: a few
are traced, and the rest is added. What a trace cannot see is workspace inside an operation.
"""

from __future__ import annotations

import functools
import weakref
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from pydantic import TypeAdapter
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import get_gradient_edge
from torch.nn.functional import cross_entropy
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from ner_utils.config.load import ConfigError
from ner_utils.config.schema import Model
from ner_utils.models import backbones
from ner_utils.models.generation.packed import shares_beginnings


class Batch(NamedTuple):
    """Tokens of the longest example and of its parts; ``shared`` begins every prompt."""

    longest: int
    prompt: int
    answer: int
    shared: int


class Footprint(NamedTuple):
    """Numbers of parameters, and bytes: weights and the most that is alive, in training and in prediction.

    ``training`` is the step's own peak, gradients included, the optimizer's states not; ``forward`` is the
    peak before the first gradient. What is not trained has 0 there.
    """

    parameters: int
    trainable: int
    weights: int
    forward: int
    training: int
    prediction_weights: int
    prediction: int


@functools.cache
def trace(model: str, tags: int, trained: bool, gpu: bool, batch: Batch, sparing: bool = False) -> Footprint:
    """Footprint of a model (as JSON) with so many tags. ``sparing``: with gradient checkpointing, 16 bits for
    all that is not 4 bits already, and one sentence at a time."""
    settings = TypeAdapter(Model).validate_json(model)
    shape = configuration(settings)
    kinds = getattr(shape, "layer_types", None) or ["the same"]
    period = next(
        p for p in range(1, len(kinds) + 1) if all(a == b for a, b in zip(kinds, kinds[p:], strict=False))
    )
    layers, few = shape.num_hidden_layers, max(2, period)
    work = (settings, tags, trained, gpu, batch, sparing)
    if layers <= few + period:
        return _footprint(*work, layers)
    low, high = (_footprint(*work, number) for number in (few, few + period))
    found = Footprint(*(a + (b - a) * (layers - few) // period for a, b in zip(low, high, strict=True)))
    # With few layers, the gradient of a large vocabulary may top what many layers keep.
    return found._replace(training=max(found.forward, found.training))


def configuration(model: Model, **changes: Any):
    """transformers' configuration of a model, from its declared architecture."""
    from transformers import AutoConfig

    if not model.architecture:
        raise ConfigError(
            f"{model.label}: architecture: not declared, so nothing is known before the download"
        )
    try:
        return AutoConfig.for_model(**(model.architecture | changes))
    except Exception as error:  # what its strict classes raise shares no base class
        raise ConfigError(f"{model.label}: architecture: {error}") from None


# ------------------------------------------------------------------------------ models
def build(model: Model, tags: int, gpu: bool, quantised: bool, layers: int | None = None):
    """The model as it is loaded, on the meta device: shapes and dtypes alone."""
    from transformers import AutoModelForCausalLM, AutoModelForTokenClassification
    from transformers.integrations import replace_with_bnb_linear
    from transformers.quantizers.base import get_keys_to_not_convert

    changes = {"num_hidden_layers": layers} if layers else {}
    tagging = model.approach == "tagging"
    auto = AutoModelForTokenClassification if tagging else AutoModelForCausalLM
    changes |= {"num_labels": tags} if tagging else {}
    # Beside adapters, weights have the dtype of computation; where all learn, they learn in fp32.
    dtype = torch.bfloat16 if gpu and model.lora else torch.float32
    if tagging and model.architecture["model_type"] == "qwen3_5_text":
        backbones.register_qwen_tagger()
    with torch.device("meta"):
        made = auto.from_config(configuration(model, **changes), dtype=dtype)
    if quantised:
        spared = backbones.HEADS if tagging else get_keys_to_not_convert(made)
        replace_with_bnb_linear(made, spared, backbones.nf4(dtype))
        made.is_loaded_in_4bit = True
    if gpu and made.config._attn_implementation == "sdpa":
        made.set_attn_implementation("fused")
    return made


def adapt(model, settings: Model, upcast: bool):
    """A model of the meta device with its adapter, as it is trained."""
    task = "TOKEN_CLS" if settings.approach == "tagging" else "CAUSAL_LM"
    with torch.device("meta"):
        model = backbones.with_adapter(model, settings.lora, task, upcast)
    backbones.train_in_fp32(model)
    return model


def allocate(model) -> None:
    """Give a model of the meta device its memory, linear layers of bitsandbytes in NF4."""
    from bitsandbytes.functional import quantize_4bit
    from bitsandbytes.nn import Linear4bit

    made: dict[int, torch.Tensor] = {}  # tied weights are one
    for module in model.modules():
        if isinstance(module, Linear4bit):
            whole = torch.empty(module.out_features, module.in_features, dtype=module.compute_dtype)
            packed, state = quantize_4bit(whole, compress_statistics=True, quant_type="nf4")
            # `Params4bit` needs data; an ordinary parameter with its marks does as well.
            module.weight = torch.nn.Parameter(packed, requires_grad=False)
            module.weight.quant_state = module.quant_state = state
            module.support_avx512bf16_for_cpu = False  # as `backbones.load` has it
        for name, old in [*module._parameters.items(), *module._buffers.items()]:
            if old is not None and old.device.type == "meta":
                new = made.get(id(old))
                if new is None:
                    new = torch.zeros_like(old, device="cpu")
                    if name in module._parameters:
                        new = torch.nn.Parameter(new, old.requires_grad)
                    made[id(old)] = new
                setattr(module, name, new)


def parameters(model) -> tuple[int, int]:
    """Parameters of a model, all and trainable; those in 4 bits count as the numbers that they hold."""
    from ner_utils import efficiency

    return tuple(efficiency.parameters(model).values())


# ------------------------------------------------------------------------------- trace
class Ledger(TorchDispatchMode):
    """Bytes of the storages alive, ``live``, and the most that they ever were, ``peak``."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known = WeakIdKeyDictionary()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._enter(leaf.untyped_storage())
        return result

    def _enter(self, storage: torch.UntypedStorage) -> None:
        if storage not in self._known:
            self._known[storage] = weakref.finalize(storage, self._leave, storage.nbytes())
            self.live += storage.nbytes()
            self.peak = max(self.peak, self.live)

    def _leave(self, size: int) -> None:
        self.live -= size


class _LikeCuda(TorchFunctionMode):
    """On a CPU, what CUDA does otherwise: under autocast some functions compute in fp32, and dropout keeps a
    mask of bytes."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        if name in ("layer_norm", "softmax") and torch.is_autocast_enabled("cpu"):
            args = (args[0].float(), *args[1:])
        elif name == "dropout":
            values, p, training = (*args, *(kwargs[key] for key in ("p", "training") if key in kwargs))[:3]
            return torch.native_dropout(values, p, True)[0] if p and training else values
        return func(*args, **kwargs)


def _fused(module, query, key, value, attention_mask, scaling=None, dropout=0.0, **rest):
    """Attention as CUDA's kernel computes it: what it keeps is linear in the length, but for the mask."""
    group = query.shape[1] // key.shape[1]
    key, value = (states.repeat_interleave(group, 1) if group > 1 else states for states in (key, value))
    bias = None
    if attention_mask is not None:
        bias = torch.zeros_like(attention_mask, dtype=query.dtype)
        bias = bias.masked_fill_(~attention_mask, float("-inf")).expand(-1, query.shape[1], -1, -1)
    attend = torch.ops.aten._scaled_dot_product_efficient_attention
    output = attend(query, key, value, bias, torch.is_grad_enabled(), dropout, scale=scaling)[0]
    return output.transpose(1, 2).contiguous(), None


def _footprint(
    model: Model, tags: int, trained: bool, gpu: bool, batch: Batch, sparing: bool, layers: int
) -> Footprint:
    from bitsandbytes import functional
    from transformers import AttentionInterface

    AttentionInterface.register("fused", _fused)
    functional.name2qmap.setdefault("dynamic", functional.create_dynamic_map())  # or a fake one would stay
    quantised = model.quantisation is not None
    if trained:
        made = build(model, tags, gpu, quantised, layers)
        if model.lora:
            made = adapt(made, model, upcast=quantised and not sparing)
        counts, step = parameters(made), _step(model, made, gpu, batch, sparing)
    apart = quantised and trained and model.approach == "generation" and not model.merge_adapter
    made = build(model, tags, gpu, apart, layers)
    if not trained:
        counts, step = (parameters(made)[0], 0), (0, 0, 0)
    if apart:
        made = adapt(made, model, upcast=False)
    return Footprint(*counts, *step, *_pass(model, made, gpu, batch))


def _step(model: Model, made, gpu: bool, batch: Batch, sparing: bool) -> tuple[int, int, int]:
    """Bytes of the weights, and the most that is alive before the first gradient, and in all."""
    settings, writes = model.training, model.approach == "generation"
    rows = 1 if sparing else settings.batch_size
    if sparing:
        made.activation_checkpointing_enable()
        made.enable_input_require_grads()
    with (
        FakeTensorMode(allow_non_fake_inputs=True),
        _LikeCuda() if gpu else nullcontext(),
        Ledger() as ledger,
    ):
        allocate(made.train())
        weights = forward = ledger.peak = ledger.live
        for _ in range(min(2, settings.accumulation_steps)):  # the second finds the first one's gradients
            with torch.autocast("cpu", torch.bfloat16, enabled=gpu):
                base = made.get_base_model() if model.lora else made
                scores = _scores(base, rows, batch) if writes else _tag(made, rows, batch.longest)
            loss = cross_entropy(scores.float(), torch.zeros(len(scores), dtype=torch.long), reduction="sum")
            del scores
            forward = ledger.peak if forward == weights else forward
            # By its edge, not by itself: a tensor's own backward would recompute without `_LikeCuda`.
            edge = get_gradient_edge(loss)
            del loss
            torch.autograd.backward(edge)
        return weights, forward, ledger.peak


def _tag(model, rows: int, length: int) -> torch.Tensor:
    ids = torch.zeros(rows, length, dtype=torch.long)
    return model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.flatten(0, 1)


def _scores(model, rows: int, batch: Batch) -> torch.Tensor:
    """Scores of the answers' tokens [rows × answer, vocabulary], as the loss takes them."""
    ids, body, cache = torch.zeros(rows, batch.longest, dtype=torch.long), model.get_decoder(), None
    shared = batch.shared if shares_beginnings(model.config) and not model.is_activation_checkpointing else 0
    if shared:
        cache = body(input_ids=ids[:1, :shared], use_cache=True).past_key_values
        cache.batch_repeat_interleave(rows)
    rest = {"input_ids": ids[:, shared:], "attention_mask": torch.ones_like(ids)}
    hidden = body(**rest, past_key_values=cache, use_cache=bool(shared)).last_hidden_state
    return model.get_output_embeddings()(hidden[:, -batch.answer - 1 : -1].flatten(0, 1))


@torch.no_grad()
def _pass(model: Model, made, gpu: bool, batch: Batch) -> tuple[int, int]:
    """Bytes of the weights, and the most that is alive while one batch is predicted."""
    shape = made.config
    with (
        FakeTensorMode(allow_non_fake_inputs=True),
        _LikeCuda() if gpu else nullcontext(),
        Ledger() as ledger,
    ):
        allocate(made.eval())
        weights = ledger.peak = ledger.live
        if model.approach == "tagging":
            _tag(made, max(1, model.prediction_batch_tokens // batch.longest), batch.longest)
            return weights, ledger.peak
        rows = model.prediction_batch_size
        ids = torch.zeros(rows, batch.prompt, dtype=torch.long)
        body = getattr(made, "get_base_model", lambda: made)().get_decoder()
        output = body(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=True)
        kept, size = ledger.live, output.last_hidden_state.element_size()
    attending = sum(kind == "full_attention" for kind in getattr(shape, "layer_types", None) or [])
    heads = getattr(shape, "num_key_value_heads", None) or shape.num_attention_heads
    width = getattr(shape, "head_dim", None) or shape.hidden_size // shape.num_attention_heads
    token = (attending or shape.num_hidden_layers) * 2 * heads * width * size
    # The store of keys and values has a quarter more room than it needs; scores are read in fp32.
    room = rows * token * (5 * (batch.prompt + model.max_new_tokens) // 4 - batch.prompt)
    return weights, max(ledger.peak, kept + room + 2 * rows * shape.vocab_size * 4)
