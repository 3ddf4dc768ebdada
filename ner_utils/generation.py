"""NER as generation: a causal language model writes a sentence's entities.

Prediction dequantises 4-bit weights and merges the adapter first: merging into 4-bit weights would round
them again, and 4-bit products are slow. `adapters` trains.
"""

from __future__ import annotations

import bisect
import itertools
import json
import random
import shutil
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from ner_utils import backbones, data, digests, efficiency, paths, weights
from ner_utils.data import IGNORED, Sentence
from ner_utils.decoding import Answer, Decoder
from ner_utils.predictions import Prediction
from ner_utils.prompts import form
from ner_utils.run import Run


# ---------------------------------------------------------------------------- prompts
def examples(run: Run) -> list[Sentence]:
    """What a few-shot prompt shows: training sentences drawn with the run's seed, every other one of those
    that hold mentions."""
    if not run.few_shot:
        return []
    train = data.load_split(run.dataset_name, run.dataset, "train")
    train = random.Random(run.seed).sample(train, len(train))
    full, empty = ([s for s in train if bool(s.spans) is some] for some in (True, False))
    shown = [s for pair in itertools.zip_longest(full, empty) for s in pair if s]
    return shown[: run.few_shot]


class Prompter:
    """Turns sentences into the token ids of prompts and answers, ``without`` some types of the corpus."""

    def __init__(self, run: Run, source: str, without: Collection[str] = ()) -> None:
        self.format, self.loss = form(run.model, run.dataset, without), run.model.loss
        self.shuffles, self.seed = run.model.type_order == "shuffled", run.seed
        self.examples = examples(run)
        self.tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left")
        if run.model.pad_token:
            self.tokenizer.pad_token = run.model.pad_token
        if self.tokenizer.pad_token_id == self.tokenizer.eos_token_id:
            raise ValueError(f"{run.system}: pad_token must differ from the end token, or no end is learnt")

    def calm(self, text: str) -> str:
        """Text without special tokens: a sentence must not end its own turn. Mentions are found whatever
        their white space."""
        for special in self.tokenizer.all_special_tokens:
            text = text.replace(special, f"{special[0]} {special[1:]}")
        return text

    def prompt(self, sentence: Sentence, learning: bool = False) -> str:
        """The text that the model continues."""
        instruction = self._instruction(sentence, learning)
        turns = [(self.calm(shown.text), self.answer(shown)) for shown in self.examples]
        text = self.calm(sentence.text)
        if not self.tokenizer.chat_template:  # a base model: the same in plain text
            shown = [f"Text: {asked}\nAnswer:\n{answer}" for asked, answer in turns]
            parts = [instruction, *shown, f"Text: {text}\nAnswer:\n"]
            return (self.tokenizer.bos_token or "") + "\n\n".join(parts)
        messages = [{"role": "system", "content": instruction}]
        for asked, answer in turns:
            messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
        return self.tokenizer.apply_chat_template(
            [*messages, {"role": "user", "content": text}],
            tokenize=False,
            add_generation_prompt=True,
            # Qwen's templates differ by size in whether they think unless told; others ignore it.
            enable_thinking=False,
        )

    def _instruction(self, sentence: Sentence, learning: bool) -> str:
        """What is asked: where a model is to learn what types are asked for, in an order of each sentence."""
        if not (learning and self.shuffles):
            return self.format.instruction()
        types = list(self.format.types)
        return self.format.instruction(random.Random(f"{self.seed} {sentence.id}").sample(types, len(types)))

    def answer(self, sentence: Sentence) -> str:
        """The answer that is wanted."""
        return self.format.target(replace(sentence, tokens=tuple(map(self.calm, sentence.tokens))))

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
        """A training example: the loss counts on the answer and its end token, or on the whole sequence."""
        prompt = self.ids(self.prompt(sentence, learning=True))
        answer = [*self.ids(self.answer(sentence)), self.tokenizer.eos_token_id]
        asked = prompt if self.loss == "sequence" else [IGNORED] * len(prompt)
        return {"input_ids": prompt + answer, "labels": asked + answer}


# ----------------------------------------------------------------------------- models
def load_base(run: Run):
    """The pretrained model, its linear layers in NF4 where the run says so; in fp32 where all of it is to
    be trained."""
    whole = {} if run.model.lora or run.untrained else {"dtype": torch.float32}
    return backbones.load(
        AutoModelForCausalLM, weights.resolve(run.model.weights), run.model.quantisation, **whole
    )


def load_for_prediction(run: Run, adapter: Path | None):
    """The model that predicts: the base as training saw it, with the adapter of a checkpoint; or the
    checkpoint itself, where all weights were trained."""
    if adapter is not None and not run.model.lora:
        return backbones.load(AutoModelForCausalLM, adapter, None).eval()
    merge = run.model.merge_adapter
    dequantise = run.model.quantisation is not None and (merge or adapter is None)
    return backbones.for_prediction(load_base(run), adapter, dequantise, merge)


def merge(run: Run, adapter: Path) -> Path:
    """Folder of the model that predicts with an adapter, written once: it loads in a second, and without
    the libraries that merging needs."""
    if not run.model.lora:
        return adapter
    folder = run.scratch / f"merged-{adapter.name}"
    if folder.is_dir() and (wrong := digests.verify(folder)):
        print(f"{paths.relative(folder)}: damaged ({', '.join(wrong)}), so it is made again", flush=True)
        shutil.rmtree(folder)
    if not folder.is_dir():
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        load_for_prediction(run, adapter).save_pretrained(partial)
        digests.write(partial)
        partial.rename(folder)
    return folder


# ------------------------------------------------------------------------- prediction
class Generator:
    """Greedy decoding of sentences with a model."""

    def __init__(self, run: Run, model, prompter: Prompter) -> None:
        self.prompter, self.rows = prompter, run.model.prediction_batch_size
        self.watch = efficiency.Stopwatch()
        self.cut_off = 0
        tokenizer, limit = prompter.tokenizer, run.model.max_new_tokens
        self.end = tokenizer.eos_token_id
        self.decoder = Decoder(model, prompter.shared_prefix(), tokenizer.pad_token_id, self.end, limit)
        self.constraints = None
        if run.model.constrained != "none":
            from ner_utils.constraints import Constraints

            scores = model.get_output_embeddings().weight.shape[0]
            self.constraints = Constraints(run.model.constrained, prompter.format, tokenizer, scores, limit)

    def answers(self, sentences: Sequence[Sentence]) -> list[Answer]:
        """The answers, in the order of the sentences."""
        with self.watch("prepare"):
            prompts = [self.prompter.ids(self.prompter.prompt(sentence)) for sentence in sentences]
        answers: dict[int, Answer] = {}
        with self.watch("model"):
            while len(answers) < len(sentences):
                left = sorted(set(range(len(prompts))) - set(answers), key=lambda i: -len(prompts[i]))
                try:
                    self._write(prompts, sentences, left, answers)
                except (RuntimeError, MemoryError) as error:
                    self._halve(error)
        self.cut_off += sum(answer.tokens[-1] != self.end for answer in answers.values())
        return [answers[index] for index in range(len(sentences))]

    def _write(self, prompts, sentences, left: list[int], answers: dict[int, Answer]) -> None:
        """Adds the answers of the sentences that are left, as they end."""
        limits = None
        if self.constraints:
            words = ([self.prompter.calm(token) for token in sentences[i].tokens] for i in left)
            limits = [self.constraints.of(tokens) for tokens in words]
        for answer in self.decoder.answers([prompts[i] for i in left], self.rows, limits):
            answers[left[answer.index]] = answer
            if len(answers) % 64 == 0:
                print(f"generated {len(answers)}/{len(sentences)} sentences", flush=True)

    def _halve(self, error: Exception) -> None:
        """Go on with half the rows where memory was short; any other error is raised again."""
        if self.rows == 1 or not efficiency.is_out_of_memory(error):
            raise error
        self.rows //= 2
        print(f"out of memory: going on with {self.rows} answers side by side", flush=True)

    def text(self, tokens: Sequence[int]) -> str:
        """Tokens of an answer as text."""
        return self.prompter.tokenizer.decode(tokens, skip_special_tokens=True)

    def read(self, sentence: Sentence, answer: Answer, text: str) -> Prediction:
        """An answer and its text as spans."""
        reading = self.prompter.format.read(text, sentence.tokens)
        confidences = tuple(self._confidence(answer, extent) for extent in reading.extents)
        spans, status, dropped = tuple(reading.spans), reading.status, reading.dropped
        return Prediction(sentence.id, spans, status, dropped, confidences=confidences)

    def _confidence(self, answer: Answer, extent: tuple[int, int]) -> float:
        """The mean log-probability of the tokens that share a character with a piece of the answer."""

        def written(number: int) -> int:
            return len(self.text(answer.tokens[:number]))

        tokens = range(1, len(answer.tokens) + 1)
        first = bisect.bisect_right(tokens, extent[0], key=written)
        last = bisect.bisect_left(tokens, extent[1], key=written) + 1
        taken = answer.log_probabilities[first:last]
        return min(0.0, sum(taken) / len(taken))

    def predict(self, sentences: Sequence[Sentence]) -> tuple[list[Prediction], list[str]]:
        """Predictions and raw answers, in the order of the sentences."""
        answers = self.answers(sentences)
        with self.watch("read"):
            texts = [self.text(answer.tokens) for answer in answers]
            return [self.read(*row) for row in zip(sentences, answers, texts, strict=True)], texts

    def predict_one(self, sentence: Sentence) -> Prediction:
        """The prediction of a sentence by itself."""
        return self.predict([sentence])[0][0]


def predict(
    run: Run, adapter: Path | None, sentences: Sequence[Sentence]
) -> tuple[list[Prediction], dict[str, Any]]:
    """Predict with an adapter (``None``: zero-shot); returns predictions in order, and what it cost.

    Raw answers, which quote the corpus, go to ``answers.jsonl`` in the run's scratch folder.
    """
    prompter = Prompter(run, weights.resolve(run.model.weights))
    merged = adapter is not None and run.model.merge_adapter
    if merged:
        model = backbones.load(AutoModelForCausalLM, merge(run, adapter), None).eval()
    else:
        model = load_for_prediction(run, adapter)
    generator = Generator(run, model, prompter)
    times = efficiency.latency(generator.predict_one, sentences[: run.latency_sentences])
    generator.watch.clear()
    generator.cut_off = 0
    predictions, raw = generator.predict(sentences)
    run.scratch.mkdir(parents=True, exist_ok=True)
    with (run.scratch / "answers.jsonl").open("w", encoding="utf-8") as file:
        for sentence, answer in zip(sentences, raw, strict=True):
            file.write(json.dumps({"id": sentence.id, "answer": answer}, ensure_ascii=False) + "\n")
    seconds, usage, cut_off = dict(generator.watch.seconds), generator.watch.usage, generator.cut_off
    cost = {
        "prediction_seconds": seconds,
        "sentences_per_second": len(sentences) / sum(seconds.values()),
        "batch_size": generator.rows,
        "prediction_usage": usage,
        "latency": efficiency.latency_again(times, generator.predict_one, sentences[: run.latency_sentences]),
        "prediction_memory": efficiency.peak_memory(),
        "prediction_truncation": {"cut_off_answers": cut_off},
        "device": backbones.device(),
        "threads": torch.get_num_threads(),
    }
    if adapter is None:
        cost["parameters"] = efficiency.parameters(model) | {"trainable": 0}
    return predictions, cost
