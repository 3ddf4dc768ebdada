"""How is a pretrained model loaded? Device, dtype, 4-bit weights and adapters, for all kinds of models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModelForTokenClassification

from ner_utils import processes
from ner_utils.config.schema import Lora, Model
from ner_utils.config.strict_yaml import ConfigError

# Types of models without whose causal mask a tagger works: tests/models/test_attention.py tries each.
UNMASKABLE = ("llama", "ministral", "mistral", "qwen2", "qwen3")
# Progress is printed in lines, which a log keeps; progress bars would bury them.
transformers.logging.disable_progress_bar()
transformers.logging.set_verbosity_error()
HEADS = ["classifier", "score"]  # of taggers; they are trained whole, never adapted or quantised


def device() -> str:
    """The device on which models are computed."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def report_device() -> None:
    """Print the GPU on which this process computes; it uses one, whatever their number."""
    if torch.cuda.is_available():
        at, number = torch.cuda.current_device(), torch.cuda.device_count()
        print(f"computing on cuda:{at} ({torch.cuda.get_device_name(at)}), {number} visible", flush=True)


def dtype(model: Model) -> torch.dtype:
    """Dtype of computation: bf16 on cards that have it, fp16 on older ones. On a CPU, the model's
    ``cpu_dtype``; bf16 needs a CPU with units for it, because others take a hundred times as long."""
    if torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if model.cpu_dtype == "bfloat16" and cpu_has_bf16() else torch.float32


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies matrices in bf16 (AMX, or AVX-512 with BF16)."""
    units = torch.cpu.get_capabilities()
    return any(units.get(name, False) for name in ("amx_bf16", "avx512_bf16"))


def load(auto: Any, source: str | Path, model: Model, quantised: bool = False, **settings: Any) -> Any:
    """A pretrained model on the device in its dtype of computation, its linear layers ``quantised`` to NF4.

    On a CPU with enough memory, layers in NF4 are dequantised at once (see `dequantises`). They keep the
    values of NF4, so that training and prediction compute the same, and no step has to unpack them.
    """
    settings = {"dtype": dtype(model), "device_map": {"": device()}} | settings
    if not quantised:
        return auto.from_pretrained(source, **settings)
    from bitsandbytes.nn import Linear4bit

    # Without such a list, the library spares the head of a language model.
    spared = HEADS if auto is AutoModelForTokenClassification else None
    loaded = auto.from_pretrained(source, quantization_config=nf4(settings["dtype"], spared), **settings)
    packed = [module for module in loaded.modules() if isinstance(module, Linear4bit)]
    weights = sum(module.in_features * module.out_features for module in packed)
    if dequantises(weights * settings["dtype"].itemsize):
        return loaded.dequantize(settings["dtype"])
    for module in packed:
        # On a CPU with bf16 units, bitsandbytes would repack weights at the first evaluation and round them
        # once more, so that training would go on with other weights.
        module.support_avx512bf16_for_cpu = False
    return loaded


def dequantises(size: int) -> bool:
    """Whether weights in NF4 are dequantised before training: on a CPU of which they take at most a third of
    the memory, with ``size`` bytes when dequantised."""
    return device() == "cpu" and 3 * size <= processes.memory_limit()


@torch.no_grad()
def check_range(model: Any, ids: Sequence[int], label: str) -> None:
    """Raise `FloatingPointError` if a model in fp16, the dtype of older GPUs, overflows on the token ids of a
    text. Models that were trained in bf16 may, as Gemma 3 does."""
    if model.dtype != torch.float16:
        return
    logits = model(input_ids=torch.tensor([ids[:128]], device=model.device)).logits
    if not logits.isfinite().all():
        raise FloatingPointError(
            f"{label} overflows in float16, the dtype of this GPU: use one with bfloat16 (compute capability "
            "8.0 or newer), or a CPU"
        )


def nf4(compute: torch.dtype, spared: list[str] | None = None) -> Any:
    """The library's settings for linear layers in 4 bits, all but the ``spared`` ones."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
        llm_int8_skip_modules=spared,
    )


def is_causal(model_type: str) -> bool:
    """Whether models of a type see only the tokens before a token: the library has them as causal language
    models and not as masked ones."""
    from transformers.models.auto import modeling_auto

    masked = modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    return model_type in modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and model_type not in masked


def set_head_rate(
    optimizer: torch.optim.Optimizer, model: torch.nn.Module, rate: float, heads: Sequence[str]
) -> None:
    """Give the modules of a model's head a learning rate of their own, without weight decay: they are new,
    while the other weights are trained already, so that they may need larger steps."""
    head = [
        weight for name, weight in model.named_parameters() if any(part in name.split(".") for part in heads)
    ]
    for group in optimizer.param_groups:
        group["params"] = [weight for weight in group["params"] if not any(weight is each for each in head)]
    optimizer.add_param_group({"params": head, "lr": rate, "weight_decay": 0.0})


def remove_causal_mask(config: Any) -> None:
    """Change the configuration of a causal language model so that each position attends to all others, within
    the same sliding window if it has one. Padding stays masked. Raises `ValueError` for types of models that
    were not tried: some ignore the setting.

    Source: https://huggingface.co/docs/transformers/main/en/attention_interface#bidirectional-attention.
    """
    kind = config.model_type
    if not is_causal(kind):
        raise ValueError(f"{kind} is no causal language model, it has no causal mask to remove")
    if "linear_attention" in (getattr(config, "layer_types", None) or ()):
        raise ValueError(f"{kind} has layers of linear attention, which are causal without a mask")
    if kind not in UNMASKABLE:
        raise ValueError(f"not tried with {kind}, only with {', '.join(UNMASKABLE)}")
    config.is_causal = False  # the library's masks and its attention functions read it; checkpoints store it


def register_qwen_tagger() -> None:
    """Make Qwen3.5's text model known as a token classifier; the library has one with a vision tower only."""
    from transformers import Qwen3_5PreTrainedModel, Qwen3_5TextConfig
    from transformers.modeling_layers import GenericForTokenClassification

    bases = (GenericForTokenClassification, Qwen3_5PreTrainedModel)
    tagger = type("Qwen3_5TextTagger", bases, {"__annotations__": {"config": Qwen3_5TextConfig}})
    AutoModelForTokenClassification.register(Qwen3_5TextConfig, tagger, exist_ok=True)


def check_targets(lora: Lora, layers: Iterable[str]) -> None:
    """Raise `ConfigError` if a target is none of a model's linear layers, which have dotted names: peft would
    leave it out without a word."""
    names = {layer.split(".")[-1] for layer in layers}
    if lora.target_modules != "all-linear" and (missing := set(lora.target_modules) - names):
        known = ", ".join(sorted(names))
        raise ConfigError(f"lora.target_modules: no linear layer is called {min(missing)}, but {known}")


def with_adapter(model: Any, lora: Lora, task: str) -> Any:
    """The model with new adapters. Only these are trained, and the head of a tagger."""
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    check_targets(lora, (name for name, part in model.named_modules() if isinstance(part, torch.nn.Linear)))
    if getattr(model, "is_quantized", False):
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    return get_peft_model(
        model,
        LoraConfig(
            r=lora.r,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=lora.target_modules,
            exclude_modules=HEADS if task == "TOKEN_CLS" else None,
            task_type=task,
        ),
    )


def train_in_fp32(model: Any) -> None:
    """Convert the trained weights to fp32: new adapters are in bf16, resumed ones in fp32."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def for_prediction(model: Any, adapter: Path | None, merge: bool) -> Any:
    """A base model with the adapter of a checkpoint, ready to predict: in 4 bits only under an adapter that
    is not merged."""
    if (merge or adapter is None) and getattr(model, "is_quantized", False):
        model = model.dequantize(model.dtype)
    if adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, adapter)
        if merge:
            model = model.merge_and_unload()
    return model.eval()


def coverage(model: Any) -> dict[str, int]:
    """How many layers of each name carry an adapter."""
    names = [name.split(".")[-1] for name, module in model.named_modules() if hasattr(module, "lora_A")]
    return {name: names.count(name) for name in sorted(set(names))}
