"""How is a generator trained? With QLoRA, LoRA or all weights, by TRL's SFTTrainer with a faster loss.

Imported late, because trl, peft and datasets take seconds.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset, disable_progress_bars
from transformers import set_seed
from trl import SFTConfig, SFTTrainer

from ner_utils import data, scoring
from ner_utils.config.run import Run
from ner_utils.config.strict_yaml import ConfigError
from ner_utils.data.corpus import IGNORED, Sentence
from ner_utils.models import backbones, training, weights
from ner_utils.models.generation.generator import Generator, load_base
from ner_utils.models.generation.packed import shares_beginnings
from ner_utils.models.generation.prompts import Prompter


def train_generator(
    run: Run, sentences: Sequence[Sentence], dev: Sequence[Sentence], parts: int = 1
) -> dict[str, Any]:
    """Train an adapter and select the checkpoint by the F1 of generated entities on a sample of dev; each
    batch is computed in ``parts`` passes. The language-model loss on the same sample is recorded at every
    evaluation. Returns a record for efficiency.json."""
    disable_progress_bars()
    set_seed(run.seed)
    settings = run.model.training
    prompter = Prompter(run, weights.resolve(run.model.weights), run.held_out)
    sample = data.dev_sample(run, dev)
    examples, on_dev = ([prompter.example(each) for each in part] for part in (sentences, sample))
    limit = settings.max_length
    cut_off = sum(len(example["input_ids"]) > limit for example in examples)
    # The library drops examples whose prompt leaves no room for the answer.
    labelled = [any(label != IGNORED for label in example["labels"][:limit]) for example in examples]
    truncation = {"cut_off_examples": cut_off}
    if dropped := labelled.count(False):
        print(f"{dropped} of {len(examples)} sentences not trained on: max_length cuts off the whole answer")
        truncation["dropped_examples"] = dropped
    if not any(labelled):
        raise ConfigError(f"training.max_length is {limit}: it cuts off the answers of all sentences")
    model = load_base(run)
    backbones.check_range(model, examples[0]["input_ids"], prompter.name)
    if run.model.lora:
        model = backbones.with_adapter(model, run.model.lora, "CAUSAL_LM")
    # The tokens with which all prompts begin pass through the model once, if no loss counts on them. If each
    # prompt orders the types in its own way, they are only a part of the instruction.
    shared = run.model.loss == "answer" and shares_beginnings(model.config)
    beginnings = [example["input_ids"] for example in (*examples, *on_dev)]
    prefix = len(os.path.commonprefix([prompter.shared_prefix(), *beginnings])) if shared else 0

    class GeneratorTrainer(training.GroupedByLength, SFTTrainer):
        """Adds the F1 of generated entities to each evaluation, and computes the loss faster."""

        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            with self.accelerator.autocast():  # the library has it around ``model``, which is not called
                return answer_loss(self.writer(), inputs, prefix, self.divisor(len(inputs["labels"])))

        def dev_f1(self):
            # The model in training writes the answers: a second one would take as much memory again.
            generator = Generator(run, self.writer().eval(), prompter)
            predicted = [prediction.spans for prediction in generator.predict(sample)[0]]
            return scoring.score([sentence.spans for sentence in sample], predicted).f1

        def writer(self):
            """The language model, with its adapters in its layers."""
            return self.model.get_base_model() if run.model.lora else self.model

    trainer = GeneratorTrainer(
        run,
        model=model,
        args=SFTConfig(
            **training.arguments(run, parts),
            max_length=limit,
            # The shared prefix needs its cache, which checkpointing would drop.
            gradient_checkpointing=False,
            packing=False,
        ),
        train_dataset=Dataset.from_list(examples),
        eval_dataset=Dataset.from_list(on_dev),
        processing_class=prompter.tokenizer,
    )
    backbones.train_in_fp32(trainer.model)
    assert_loss_on_answers(trainer, list(itertools.compress(sentences, labelled)), prompter, limit)
    return training.run_trainer(trainer, run) | {
        "lora_layers": backbones.coverage(model),
        "training_truncation": truncation,
        "dev_sample": len(sample),
    }


def answer_loss(model, inputs: dict, prefix: int, number: float) -> torch.Tensor:
    """Cross-entropy of the labelled tokens, summed and divided by ``number``.

    The same as SFTTrainer's loss, at about half its cost on short sentences: the first ``prefix`` tokens are
    the same in all rows, so they pass through the model once (gradients included), and only labelled
    positions are projected onto the vocabulary. The model itself projects them, because some models scale or
    cap their logits. Raises `NotImplementedError` for a model that projects all positions.
    """
    ids, labels = inputs["input_ids"], inputs["labels"]
    cache = None
    if prefix:
        cache = model.get_decoder()(input_ids=ids[:1, :prefix], use_cache=True).past_key_values
        cache.batch_repeat_interleave(len(ids))
    rest = {"input_ids": ids[:, prefix:], "attention_mask": inputs["attention_mask"]}
    following = torch.nn.functional.pad(labels[:, prefix + 1 :], (0, 1), value=IGNORED)
    chosen = following != IGNORED  # [rows, tokens]: position t predicts token t + 1
    logits = model(**rest, past_key_values=cache, use_cache=bool(prefix), logits_to_keep=chosen).logits
    if logits.shape[:-1] != (int(chosen.sum()),):
        raise NotImplementedError(
            f"{type(model).__name__} does not compute the logits of chosen tokens alone"
        )
    return torch.nn.functional.cross_entropy(logits.float(), following[chosen], reduction="sum") / number


def assert_loss_on_answers(
    trainer, sentences: Sequence[Sentence], prompter: Prompter, max_length: int
) -> None:
    """Raise `AssertionError` unless the collator leaves exactly the answer and its end token unmasked."""
    for index in range(min(8, len(sentences))):
        row = trainer.train_dataset[index]
        labels = trainer.data_collator([row])["labels"][0]
        expected = prompter.example(sentences[index])["labels"][:max_length]
        if labels[labels != IGNORED].tolist() != [label for label in expected if label != IGNORED]:
            raise AssertionError(f"sentence {sentences[index].id}: the loss does not cover the answer alone")
