"""NER as generation: a causal language model writes a sentence's entities.

Training is QLoRA through TRL's SFTTrainer. Prediction dequantises the 4-bit weights and merges the
adapter first: merging into 4-bit weights would round them again, and 4-bit products are slow.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bitsandbytes.nn import Linear4bit
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, set_seed

from ner_utils import data, efficiency, scoring, training, weights
from ner_utils.data import Sentence
from ner_utils.decoding import Decoder, shares_beginnings
from ner_utils.predictions import Prediction
from ner_utils.prompts import FORMATS
from ner_utils.schema import Run

IGNORED = -100


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _dtype() -> torch.dtype:
    """Dtype of computation: bf16 on cards that have it, fp16 on older ones, fp32 on a CPU."""
    if not torch.cuda.is_available():
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


# ---------------------------------------------------------------------------- prompts
class Prompter:
    """Turns sentences into the token ids of prompts and answers."""

    def __init__(self, run: Run, source: str) -> None:
        self.format = FORMATS[run.model.output_format](run.dataset.types)
        self.tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left")
        if run.model.pad_token:
            self.tokenizer.pad_token = run.model.pad_token
        if self.tokenizer.pad_token_id == self.tokenizer.eos_token_id:
            raise ValueError(f"{run.system}: pad_token must differ from the end token, or no end is learnt")

    def prompt(self, sentence: Sentence) -> str:
        """The text that the model continues."""
        text = sentence.text
        for special in self.tokenizer.all_special_tokens:
            # A sentence must not end its own turn. Mentions are found whatever their white space.
            text = text.replace(special, f"{special[0]} {special[1:]}")
        messages = [
            {"role": "system", "content": self.format.instruction},
            {"role": "user", "content": text},
        ]
        return self.tokenizer.apply_chat_template(
            # Qwen's templates differ by size in whether they think unless told; others ignore it.
            messages,
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=False,
        )

    def shared_prefix(self) -> list[int]:
        """Token ids with which every prompt begins, whatever its sentence."""
        first, second = (self.ids(self.prompt(Sentence("", None, (word,), ()))) for word in ("a", "Zebra"))
        length = next(
            index for index, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]
        )
        return first[:length]

    def ids(self, text: str) -> list[int]:
        """Token ids of text that holds its special tokens already."""
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def example(self, sentence: Sentence) -> dict[str, list[int]]:
        """A training example: the loss counts on the answer and its end token alone."""
        prompt = self.ids(self.prompt(sentence))
        answer = [*self.ids(self.format.target(sentence)), self.tokenizer.eos_token_id]
        return {"input_ids": prompt + answer, "labels": [IGNORED] * len(prompt) + answer}


# ----------------------------------------------------------------------------- models
def _load_base(run: Run):
    """The pretrained model, its linear layers in NF4 where the run says so."""
    settings: dict[str, Any] = {"dtype": _dtype(), "device_map": {"": _device()}}
    if run.model.quantisation == "nf4":
        settings["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=_dtype(),
        )
    model = AutoModelForCausalLM.from_pretrained(weights.resolve(run.model.weights), **settings)
    for module in model.modules():
        # On a CPU with bf16 units, bitsandbytes would repack weights at the first evaluation and round
        # them once more: what is trained after a look would not be what was trained before it.
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False
    return model


def load_for_prediction(run: Run, adapter: Path | None):
    """The model that predicts: the base as training saw it, with the adapter of a checkpoint."""
    model = _load_base(run)
    if run.model.quantisation and (run.model.merge_adapter or adapter is None):
        model = model.dequantize().to(_dtype())
    if adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, adapter)
        if run.model.merge_adapter:
            model = model.merge_and_unload()
    return model.eval()


# ------------------------------------------------------------------------- prediction
class Generator:
    """Greedy decoding of sentences with a model, in batches sorted by length."""

    def __init__(self, run: Run, model, prompter: Prompter) -> None:
        self.prompter, self.size = prompter, run.model.prediction_batch_size
        self.watch = efficiency.Stopwatch()
        self.cut_off = 0
        self.end = prompter.tokenizer.eos_token_id
        shared, pad = prompter.shared_prefix(), prompter.tokenizer.pad_token_id
        self.decoder = Decoder(model, shared, pad, self.end, run.model.max_new_tokens)

    def answers(self, sentences: Sequence[Sentence]) -> list[str]:
        """The raw answers of one batch."""
        with self.watch("prepare"):
            prompts = [self.prompter.ids(self.prompter.prompt(sentence)) for sentence in sentences]
        with self.watch("model"):
            answers = self.decoder.answers(prompts)
        with self.watch("read"):
            self.cut_off += sum(answer[-1] != self.end for answer in answers)
            return self.prompter.tokenizer.batch_decode(answers, skip_special_tokens=True)

    def read(self, sentence: Sentence, answer: str) -> Prediction:
        """An answer as spans."""
        reading = self.prompter.format.read(answer, sentence.tokens)
        return Prediction(sentence.id, tuple(reading.spans), reading.status, reading.dropped)

    def predict(self, sentences: Sequence[Sentence]) -> tuple[list[Prediction], list[str]]:
        """Predictions and raw answers, in the order of the sentences."""
        order = np.argsort([len(sentence.text) for sentence in sentences], kind="stable")
        answers: dict[int, str] = {}
        for start in range(0, len(order), self.size):
            indices = order[start : start + self.size]
            answers.update(zip(indices, self.answers([sentences[i] for i in indices]), strict=True))
            print(f"generated {len(answers)}/{len(sentences)} sentences", flush=True)
        with self.watch("read"):
            raw = [answers[index] for index in range(len(sentences))]
            return [self.read(sentence, answer) for sentence, answer in zip(sentences, raw, strict=True)], raw


def predict(
    run: Run, adapter: Path | None, sentences: Sequence[Sentence]
) -> tuple[list[Prediction], dict[str, Any]]:
    """Predict with an adapter (``None``: zero-shot); returns predictions in order, and what it cost.

    Raw answers, which quote the corpus, go to ``answers.jsonl`` in the run's scratch folder.
    """
    prompter = Prompter(run, weights.resolve(run.model.weights))
    model = load_for_prediction(run, adapter)
    generator = Generator(run, model, prompter)
    times = efficiency.latency(
        lambda sentence: generator.read(sentence, generator.answers([sentence])[0]),
        sentences[: run.latency_sentences],
    )
    generator.watch.seconds.clear()
    generator.cut_off = 0
    predictions, raw = generator.predict(sentences)
    run.scratch.mkdir(parents=True, exist_ok=True)
    with (run.scratch / "answers.jsonl").open("w", encoding="utf-8") as file:
        for sentence, answer in zip(sentences, raw, strict=True):
            file.write(json.dumps({"id": sentence.id, "answer": answer}, ensure_ascii=False) + "\n")
    seconds = dict(generator.watch.seconds)
    cost = {
        "prediction_seconds": seconds,
        "sentences_per_second": len(sentences) / sum(seconds.values()),
        "batch_size": generator.size,
        "latency": times,
        "prediction_memory": efficiency.peak_memory(),
        "prediction_truncation": {"cut_off_answers": generator.cut_off},
        "device": _device(),
        "threads": torch.get_num_threads(),
    }
    if adapter is None:
        cost["parameters"] = efficiency.parameters(model) | {"trainable": 0}
    return predictions, cost


# --------------------------------------------------------------------------- training
def train(run: Run, sentences: Sequence[Sentence], dev: Sequence[Sentence]) -> dict[str, Any]:
    """Train an adapter, selecting by generated entity F1 on a seeded sample of dev.

    The language-model loss on the same sample is recorded beside it at every look. Returns a
    record for efficiency.json.
    """
    from datasets import Dataset, disable_progress_bars
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
    from trl import SFTConfig, SFTTrainer

    disable_progress_bars()
    set_seed(run.seed)
    settings = run.model.training
    prompter = Prompter(run, weights.resolve(run.model.weights))
    sample = data.draw(dev, run.dev_sample, run.seed)
    examples = [prompter.example(sentence) for sentence in sentences]
    cut = [len(example["input_ids"]) > settings.max_length for example in examples]
    # Every answer token weighs the same. Divided by a batch's own number of them, as is usual, "[]" would
    # weigh several times as much in a batch of short sentences as the first brace in one of long ones.
    answers = sum(label != IGNORED for row in examples for label in row["labels"][: settings.max_length])
    tokens_a_step = answers * settings.epochs / training.total_steps(run, len(examples))
    model = _load_base(run)
    if run.model.quantisation:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    prefix = len(prompter.shared_prefix()) if shares_beginnings(model.config) else 0
    lora = run.model.lora
    model = get_peft_model(
        model,
        LoraConfig(
            r=lora.r,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=lora.target_modules,
            task_type="CAUSAL_LM",
        ),
    )

    class Selector(training.LikeLengths, SFTTrainer):
        """Adds the generated entity F1 to each look, and computes the loss without waste."""

        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            number = None if num_items_in_batch is None else tokens_a_step
            return answer_loss(model.get_base_model(), inputs, prefix, number)

        def evaluate(self, *arguments, **keywords):
            metrics = super().evaluate(*arguments, **keywords)
            adapter = run.scratch / "look"
            self.model.save_pretrained(adapter)
            generator = Generator(run, load_for_prediction(run, adapter), prompter)
            found = [prediction.spans for prediction in generator.predict(sample)[0]]
            metrics["eval_f1"] = scoring.score([sentence.spans for sentence in sample], found).f1
            self.log({"eval_f1": metrics["eval_f1"]})
            return metrics

    trainer = Selector(
        model=model,
        args=SFTConfig(
            **training.arguments(run, run.scratch),
            max_length=settings.max_length,
            # The shared prefix needs its cache, which checkpointing would drop.
            gradient_checkpointing=False,
            packing=False,
        ),
        train_dataset=Dataset.from_list(examples),
        eval_dataset=Dataset.from_list([prompter.example(sentence) for sentence in sample]),
        processing_class=prompter.tokenizer,
    )
    for parameter in trainer.model.parameters():
        # SFTTrainer makes adapters bf16, but a resumed one comes back as fp32: one dtype for both.
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    _assert_loss_on_answers(trainer, sentences, prompter, settings.max_length)
    record = training.train(trainer, run)
    return record | {
        "parameters": efficiency.parameters(model),
        "lora_layers": _coverage(model),
        "training_memory": efficiency.peak_memory(),
        "training_truncation": {"cut_off_examples": sum(cut)},
        "dev_sample": len(sample),
    }


def answer_loss(model, inputs: dict, prefix: int, number: torch.Tensor | int | None) -> torch.Tensor:
    """Cross-entropy of the labelled tokens, summed and divided by ``number`` (None: their count).

    What SFTTrainer computes, at about half its cost on short sentences: the first ``prefix`` tokens
    are the same in all rows, so they pass through the model once (gradients included), and only
    labelled positions are projected onto the vocabulary.
    """
    ids, labels = inputs["input_ids"], inputs["labels"]
    body = model.get_decoder()
    cache = None
    if prefix:
        cache = body(input_ids=ids[:1, :prefix], use_cache=True).past_key_values
        cache.batch_repeat_interleave(len(ids))
    rest = {"input_ids": ids[:, prefix:], "attention_mask": inputs["attention_mask"]}
    hidden = body(**rest, past_key_values=cache, use_cache=bool(prefix)).last_hidden_state
    wanted = labels[:, prefix + 1 :]  # position t predicts token t + 1
    chosen = wanted != IGNORED
    logits = model.lm_head(hidden[:, :-1][chosen]).float()
    loss = torch.nn.functional.cross_entropy(logits, wanted[chosen], reduction="sum")
    return loss / (chosen.sum().clamp(min=1) if number is None else number)


def _coverage(model) -> dict[str, int]:
    """How many layers of each name carry an adapter."""
    names = [name.split(".")[-1] for name, module in model.named_modules() if hasattr(module, "lora_A")]
    return {name: names.count(name) for name in sorted(set(names))}


def _assert_loss_on_answers(
    trainer, sentences: Sequence[Sentence], prompter: Prompter, max_length: int
) -> None:
    """What the collator leaves unmasked must be the answer and its end token, to the letter."""
    for index in range(min(8, len(sentences))):
        row = trainer.train_dataset[index]
        labels = trainer.data_collator([row])["labels"][0]
        wanted = prompter.example(sentences[index])["labels"][:max_length]
        if labels[labels != IGNORED].tolist() != [label for label in wanted if label != IGNORED]:
            raise AssertionError(f"sentence {sentences[index].id}: the loss does not cover the answer alone")
