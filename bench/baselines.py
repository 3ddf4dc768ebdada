"""The code that a user would write instead: the libraries' own ways, at equal precision."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    GenerationConfig,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    pipeline,
    set_seed,
)
from trl import SFTConfig, SFTTrainer

from ner_utils import config
from ner_utils.config.run import Run
from ner_utils.data.corpus import Sentence
from ner_utils.data.spans import spans_from_tags
from ner_utils.experiments.memory import footprint
from ner_utils.models import backbones, generation, tagging, weights


class Clock(TrainerCallback):
    """Seconds of optimisation steps, taken as in the project."""

    seconds = 0.0

    def on_step_begin(self, args, state, control, **kwargs):
        self.mark = time.perf_counter()

    def on_step_end(self, args, state, control, **kwargs):
        self.seconds += time.perf_counter() - self.mark


# ------------------------------------------------------------------------- generation
def generate(model: Any, prompter: generation.Prompter, sentences: Sequence[Sentence], limit: int, size: int):
    """Answers by ``generate``: sorted by length, padded on the left, ``size`` at a time."""
    tokenizer = prompter.tokenizer
    settings = GenerationConfig(
        do_sample=False,
        max_new_tokens=limit,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    prompts = [prompter.prompt(sentence) for sentence in sentences]
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    answers: dict[int, str] = {}
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        batch = tokenizer(
            [prompts[row] for row in rows], add_special_tokens=False, padding=True, return_tensors="pt"
        ).to(model.device)
        with torch.inference_mode():
            output = model.generate(**batch, generation_config=settings)
        new = output[:, batch["input_ids"].shape[1] :]
        answers.update(zip(rows, tokenizer.batch_decode(new, skip_special_tokens=True), strict=True))
    return [answers[index] for index in range(len(prompts))]


def train_sft(run: Run, sentences: Sequence[Sentence], folder: str) -> float:
    """SFTTrainer on prompts and completions, checkpointing off, bf16 if the project uses it; saves the
    adapter, returns seconds of its steps."""
    set_seed(run.seed)
    source = weights.resolve(run.model.weights)
    prompter = generation.Prompter(run, source)
    packed, dtype = run.model.quantisation is not None, backbones.dtype(run.model)
    model = AutoModelForCausalLM.from_pretrained(
        source,
        dtype=dtype,
        quantization_config=backbones.nf4(dtype) if packed else None,
        device_map={"": backbones.device()},
    )
    if packed:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    lora, settings = run.model.lora, run.model.training
    adapter = LoraConfig(
        r=lora.r, lora_alpha=lora.alpha, target_modules=lora.target_modules, task_type="CAUSAL_LM"
    )
    end = prompter.tokenizer.eos_token
    rows = [
        {"prompt": prompter.prompt(sentence), "completion": prompter.format.target(sentence) + end}
        for sentence in sentences
    ]
    clock = Clock()
    trainer = SFTTrainer(
        model=get_peft_model(model, adapter),
        args=SFTConfig(
            output_dir=folder,
            per_device_train_batch_size=settings.batch_size * settings.accumulation_steps,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            warmup_steps=settings.warmup_fraction,
            lr_scheduler_type=settings.schedule,
            num_train_epochs=settings.epochs,
            max_length=settings.max_length,
            bf16=dtype == torch.bfloat16,
            use_cpu=backbones.device() == "cpu",
            gradient_checkpointing=False,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=prompter.tokenizer,
        callbacks=[clock],
    )
    trainer.train()
    trainer.save_model(folder)
    return clock.seconds


# ---------------------------------------------------------------------------- tagging
def train_tagger(run: Run, sentences: Sequence[Sentence], folder: str) -> float:
    """Trainer with its random batches; saves model and tokenizer, returns seconds of its steps."""
    set_seed(run.seed)
    names = run.dataset.tags_of_models
    tokenizer = tagging.load_tokenizer(weights.resolve(run.model.weights))
    model = tagging.load_tagger(weights.resolve(run.model.weights), num_labels=len(names))
    settings = run.model.training
    rows = tagging.examples(sentences, tagging.encode(sentences, tokenizer, settings.max_length), names)
    clock = Clock()
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            warmup_steps=settings.warmup_fraction,
            num_train_epochs=settings.epochs,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=rows,
        data_collator=DataCollatorForTokenClassification(tokenizer),
        processing_class=tokenizer,
        callbacks=[clock],
    )
    trainer.train()
    trainer.save_model(folder)
    return clock.seconds


def pipeline_spans(folder: str, sentences: Sequence[Sentence], size: int) -> list[list]:
    """Spans by the token-classification pipeline on words, without its aggregation of sub-tokens."""
    tagger = pipeline("token-classification", model=folder, tokenizer=tagging.load_tokenizer(folder))
    words = [list(sentence.tokens) for sentence in sentences]
    outputs = tagger(words, is_split_into_words=True, batch_size=size, ignore_labels=[])
    spans = []
    for tokens, pieces in zip(words, outputs, strict=True):
        begins, at = {}, 0
        for index, token in enumerate(tokens):
            begins[at] = index
            at += len(token) + 1
        tags = ["O"] * len(tokens)
        for piece in pieces:
            if piece["start"] in begins:
                tags[begins[piece["start"]]] = piece["entity"]
        spans.append(spans_from_tags(tags)[0])
    return spans


# -------------------------------------------------------------------------- full size
def full_size(folder: Path, layers: int | None) -> dict[str, str]:
    """Folders of models of the size of Qwen3.5-4B and DeBERTa-v3-large, with random weights and the small
    models' tokenizers; with ``layers``, of fewer layers."""
    torch.manual_seed(0)
    dtype = torch.bfloat16 if torch.cuda.is_available() else torch.float32
    fewer = {"num_hidden_layers": layers} if layers else {}
    llm, encoder = (
        footprint.configuration(config.load_model(name), **fewer)
        for name in ("qwen3.5-4b", "deberta-v3-large")
    )
    models = {
        "smollm2-qlora": ("smollm2-135m", AutoModelForCausalLM.from_config(llm, dtype=dtype)),
        "minilm": ("minilm", AutoModel.from_config(encoder)),
    }
    folders = {}
    for system, (small, model) in models.items():
        folders[system] = str(folder / f"full-size-{system}")
        model.save_pretrained(folders[system])
        tokenizer = AutoTokenizer.from_pretrained(weights.resolve(config.load_model(small).weights))
        tokenizer.save_pretrained(folders[system])
    return folders
