"""How does a causal language model predict the entities of sentences?

Before prediction, 4-bit weights are dequantised and the adapter is merged into them: merging into 4-bit
weights would round them again, and products with 4-bit weights are slow. `qlora` trains.
"""

from __future__ import annotations

import bisect
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from ner_utils import efficiency, files, paths, processes
from ner_utils.config.run import Run
from ner_utils.data.corpus import Sentence
from ner_utils.data.predictions import Prediction
from ner_utils.forms.base import DROPPED
from ner_utils.models import backbones, weights
from ner_utils.models.generation.answers import Answer
from ner_utils.models.generation.decoding import Decoder
from ner_utils.models.generation.prompts import Prompter
from ner_utils.models.prediction import Alone, Failures, cost_of_prediction, keep_answers


# ----------------------------------------------------------------------------- models
def load_base(run: Run):
    """The pretrained model, its linear layers in NF4 if the run says so; in fp32 if all of it is trained."""
    source, quantised = weights.resolve(run.model.weights), run.model.quantisation is not None
    whole = {} if run.model.lora or run.untrained else {"dtype": torch.float32}
    return backbones.load(AutoModelForCausalLM, source, run.model, quantised, **whole)


def load_for_prediction(run: Run, adapter: Path | None):
    """The model that predicts: the base as training saw it, with the adapter of a checkpoint; or the
    checkpoint itself, where all weights were trained."""
    if adapter is not None and not run.model.lora:
        return backbones.load(AutoModelForCausalLM, adapter, run.model).eval()
    return backbones.for_prediction(load_base(run), adapter, run.model.merge_adapter)


def merge(run: Run, adapter: Path) -> Path:
    """Folder of the model with its adapter merged, written once: it loads in a second, and without peft."""
    if not run.model.lora:
        return adapter
    folder = run.scratch / f"merged-{adapter.name}"
    if folder.is_dir() and (wrong := files.verify_checksums(folder)):
        print(f"{paths.relative(folder)}: damaged ({', '.join(wrong)}), so it is made again", flush=True)
        shutil.rmtree(folder)
    if not folder.is_dir():
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        # All tensors of a file are copied to the host's memory at once.
        load_for_prediction(run, adapter).save_pretrained(partial, max_shard_size="4GB")
        files.write_checksums(partial)
        partial.rename(folder)
    return folder


# ------------------------------------------------------------------------- prediction
class Generator:
    """Predicts sentences with a model that writes their entities, by greedy decoding."""

    def __init__(self, run: Run, model, prompter: Prompter) -> None:
        self.prompter, self.rows = prompter, run.model.prediction_batch_size
        self.watch = efficiency.Stopwatch()
        self.cut_off, self.failures = 0, Failures(run.dataset.private)
        tokenizer, limit = prompter.tokenizer, run.model.max_new_tokens
        self.ends = prompter.ends(model.generation_config)
        self.decoder = Decoder(model, prompter.shared_prefix(), tokenizer.pad_token_id, self.ends, limit)
        self.constraints = None
        if run.model.constrained != "none":
            from ner_utils.models.generation.constraints import Constraints  # llguidance takes a second

            vocabulary = model.get_output_embeddings().weight.shape[0]
            kind, form = run.model.constrained, prompter.format
            self.constraints = Constraints(kind, form, tokenizer, vocabulary, limit, self.ends)

    def predict(self, sentences: Sequence[Sentence]) -> tuple[list[Prediction], list[str]]:
        """Predictions and raw answers, in the order of the sentences. Raises `RuntimeError` where none of
        several sentences could be predicted."""
        answers = self.answers(sentences)
        with self.watch("read"):
            texts = [self.text(answer.tokens) if answer else "" for answer in answers]
            predictions = [self._read_or_fail(*row) for row in zip(sentences, answers, texts, strict=True)]
        self.failures.check(sentences)
        return predictions, texts

    def answers(self, sentences: Sequence[Sentence]) -> list[Answer | None]:
        """The answers, in the order of the sentences; None for a sentence that fails, see `failures`."""
        with self.watch("prepare"):
            prompts = self._prompts(sentences)
        answers: dict[int, Answer] = {}
        with self.watch("model"):
            order, at_once = sorted(prompts, key=lambda i: -len(prompts[i])), len(prompts)
            while left := [index for index in order if index not in answers]:
                part = left[:at_once]
                try:
                    self._write(prompts, sentences, part, answers)
                except Exception as error:
                    if self._halves_rows(error):
                        continue
                    # The sentence that fails is one of those that were being written.
                    part = [index for index in part if index not in answers][: self.rows]
                    if not part:
                        raise
                    if len(part) > 1:
                        at_once = len(part) // 2
                        continue
                    self.failures.add(sentences[part[0]], error)
                    order.remove(part[0])
                at_once = len(prompts)
        written = [answer.tokens for answer in answers.values()]
        self.cut_off += sum(not self.prompter.template.is_whole(tokens, self.ends) for tokens in written)
        return [answers.get(index) for index in range(len(sentences))]

    def _prompts(self, sentences: Sequence[Sentence]) -> dict[int, list[int]]:
        """The prompts' token ids by the sentences' places."""
        prompts = {}
        for index, sentence in enumerate(sentences):
            try:
                prompts[index] = self.prompter.ids(self.prompter.prompt(sentence))
            except Exception as error:
                self.failures.add(sentence, error)
        return prompts

    def _write(self, prompts, sentences, left: list[int], answers: dict[int, Answer]) -> None:
        """Add the answers to the sentences in ``left``, as they end."""
        limits = None
        if self.constraints:
            words = ([self.prompter.plain_text(token) for token in sentences[i].tokens] for i in left)
            limits = [self.constraints.of(tokens) for tokens in words]
        for answer in self.decoder.answers([prompts[i] for i in left], self.rows, limits):
            answers[left[answer.index]] = answer
            if len(answers) % 64 == 0:
                print(f"generated {len(answers)}/{len(sentences)} sentences", flush=True)

    def _halves_rows(self, error: Exception) -> bool:
        """Halve the number of rows if memory was short; whether it was, and another try may succeed."""
        if self.rows == 1 or not processes.is_out_of_memory(error):
            return False
        self.rows //= 2
        print(f"out of memory: going on with {self.rows} answers at a time", flush=True)
        return True

    def text(self, tokens: Sequence[int]) -> str:
        """The text of an answer's tokens."""
        return self.prompter.template.written(tokens, self.ends)

    def read(self, sentence: Sentence, answer: Answer, text: str) -> Prediction:
        """The prediction that an answer with this text states."""
        reading = self.prompter.format.read(text, sentence.tokens)
        confidences = tuple(self._confidence(answer, extent) for extent in reading.extents)
        spans, status, dropped = tuple(reading.spans), reading.status, reading.dropped
        return Prediction(sentence.id, spans, status, dropped, confidences=confidences)

    def _read_or_fail(self, sentence: Sentence, answer: Answer | None, text: str) -> Prediction:
        """The prediction of a sentence; it is empty where there is no answer, or none that can be read."""
        if answer:
            try:
                return self.read(sentence, answer, text)
            except Exception as error:
                self.failures.add(sentence, error)
        return Prediction(sentence.id, (), "failed", dict.fromkeys(DROPPED, 0), confidences=())

    def _confidence(self, answer: Answer, extent: tuple[int, int]) -> float:
        """The mean log-probability of the tokens that overlap with an extent of the answer's characters."""

        def characters(number: int) -> int:
            return len(self.text(answer.tokens[:number]))

        tokens = range(1, len(answer.tokens) + 1)
        first = bisect.bisect_right(tokens, extent[0], key=characters)
        last = bisect.bisect_left(tokens, extent[1], key=characters) + 1
        log_probabilities = answer.log_probabilities[first:last]
        return min(0.0, sum(log_probabilities) / len(log_probabilities))


def predict_with_generator(
    run: Run, adapter: Path | None, sentences: Sequence[Sentence]
) -> tuple[list[Prediction], dict[str, Any]]:
    """Predict with an adapter (``None``: zero-shot); returns predictions in order, and their cost.

    A sentence that cannot be predicted has a failed answer. Raises `RuntimeError` where none of several can,
    `ValueError` where a chat template leaves out a part of the prompt, `FloatingPointError` where the model
    overflows in fp16. Raw answers, which quote the corpus, go to ``answers.jsonl`` in the run's scratch
    folder.
    """
    backbones.report_device()
    prompter = Prompter(run, weights.resolve(run.model.weights))
    if adapter is not None and run.model.merge_adapter:
        model = backbones.load(AutoModelForCausalLM, merge(run, adapter), run.model).eval()
    else:
        model = load_for_prediction(run, adapter)
    backbones.check_range(model, prompter.shared_prefix(), prompter.name)

    generator = Generator(run, model, prompter)
    alone = Alone(lambda sentence: generator.predict([sentence])[0][0], sentences[: run.latency_sentences])
    generator.watch, generator.cut_off = efficiency.Stopwatch(), 0
    generator.failures = Failures(run.dataset.private)
    predictions, raw = generator.predict(sentences)
    keep_answers(run.scratch / "answers.jsonl", sentences, raw)
    cost = cost_of_prediction(generator.watch, len(sentences), generator.failures) | {
        "batch_size": generator.rows,
        "prediction_truncation": {"cut_off_answers": generator.cut_off},
        "latency": alone.latency(predictions),
    }
    if adapter is None:
        cost["parameters"] = efficiency.parameters(model) | {"trainable": 0}
    return predictions, cost
