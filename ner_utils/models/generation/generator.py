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

from ner_utils import data, efficiency, files, paths
from ner_utils.config.run import Run
from ner_utils.data.corpus import IGNORED, Sentence
from ner_utils.data.predictions import Prediction
from ner_utils.forms.base import DROPPED
from ner_utils.forms.registry import form
from ner_utils.models import backbones, weights
from ner_utils.models.control_tokens import as_text, control_tokens
from ner_utils.models.failures import Failures
from ner_utils.models.generation.chat_templates import ChatTemplate
from ner_utils.models.generation.decoding import Answer, Decoder


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
    """Turns sentences into the token ids of prompts and answers, ``without`` some types of the corpus.

    Raises `ValueError` where a model's tokenizer has no pad token besides its end token, or its chat template
    loses a part of the prompt.
    """

    def __init__(self, run: Run, source: str, without: Collection[str] = ()) -> None:
        self.format, self.loss = form(run.model, run.dataset, without), run.model.loss
        self.shuffles, self.seed = run.model.type_order == "shuffled", run.seed
        self.examples = examples(run)
        self.name = f"{run.system} ({run.model.label})"
        self.tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left")
        if run.model.pad_token:
            self.tokenizer.pad_token = run.model.pad_token
        self.template = ChatTemplate(self.tokenizer, self.name)
        self.end = self.template.end
        closing = self.template.closing.strip()  # a sentence must not hold it, either
        self._control = ((closing,) if len(closing) > 1 else ()) + control_tokens(self.tokenizer)
        if self.tokenizer.pad_token_id in (None, self.end):
            raise ValueError(
                f"{self.name}: give a pad_token that differs from the end token, or no end is learnt"
            )
        self._system_turn = bool(self.template) and self.template.takes_system(self.format.instruction())
        self._check()

    def calm(self, text: str) -> str:
        """Text without control tokens: a sentence must not end its own turn. Mentions are found whatever
        their white space."""
        return as_text(text, self._control)

    def prompt(self, sentence: Sentence, learning: bool = False) -> str:
        """The text that the model continues."""
        instruction = self._instruction(sentence, learning)
        turns = [(self.calm(shown.text), self.answer(shown)) for shown in self.examples]
        text = self.calm(sentence.text)
        if not self.template:  # a base model: the same in plain text
            shown = [f"Text: {asked}\nAnswer:\n{answer}" for asked, answer in turns]
            parts = [instruction, *shown, f"Text: {text}\nAnswer:\n"]
            return (self.tokenizer.bos_token or "") + "\n\n".join(parts)
        messages = []
        for asked, answer in turns:
            messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
        messages.append({"role": "user", "content": text})
        if self._system_turn:
            messages.insert(0, {"role": "system", "content": instruction})
        else:
            messages[0]["content"] = f"{instruction}\n\n{messages[0]['content']}"
        return self.template.render(messages)

    def _check(self) -> None:
        """Raise `ValueError` unless a prompt holds the instruction, the examples and the sentence."""
        sentence = Sentence("", None, ("Ada", "met", "Zebra"), ())
        prompt = self.prompt(sentence)
        wanted = {"the instruction": self.format.instruction(), "the sentence": sentence.text}
        for number, shown in enumerate(self.examples, 1):
            wanted[f"example {number}"] = self.calm(shown.text)
            wanted[f"the answer of example {number}"] = self.answer(shown)
        for what, text in wanted.items():
            if text not in prompt:
                raise ValueError(f"{self.name}: {what} is not in the prompt that its chat template renders")

    def _instruction(self, sentence: Sentence, learning: bool) -> str:
        """What is asked: where a model is to learn what types are asked for, in an order of each sentence."""
        if not (learning and self.shuffles):
            return self.format.instruction()
        types = list(self.format.types)
        return self.format.instruction(random.Random(f"{self.seed} {sentence.id}").sample(types, len(types)))

    def answer(self, sentence: Sentence) -> str:
        """The answer that is wanted."""
        return self.format.target(replace(sentence, tokens=tuple(map(self.calm, sentence.tokens))))

    def ends(self, model: Any) -> list[int]:
        """Ids of the tokens that end an answer of a model: first the one that training teaches, then those of
        the tokenizer and of the model's generation config."""
        declared = model.generation_config.eos_token_id
        declared = declared if isinstance(declared, list) else [declared]
        known = [self.end, self.tokenizer.eos_token_id, *declared]
        return list(dict.fromkeys(end for end in known if end is not None))

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
        """A training example: the loss counts on the answer and its end, or on the whole sequence."""
        prompt = self.ids(self.prompt(sentence, learning=True))
        answer = [*self.ids(self.answer(sentence) + self.template.closing), self.end]
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
    if folder.is_dir() and (wrong := files.verify_checksums(folder)):
        print(f"{paths.relative(folder)}: damaged ({', '.join(wrong)}), so it is made again", flush=True)
        shutil.rmtree(folder)
    if not folder.is_dir():
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        load_for_prediction(run, adapter).save_pretrained(partial)
        files.write_checksums(partial)
        partial.rename(folder)
    return folder


# ------------------------------------------------------------------------- prediction
class Generator:
    """Greedy decoding of sentences with a model."""

    def __init__(self, run: Run, model, prompter: Prompter) -> None:
        self.prompter, self.rows = prompter, run.model.prediction_batch_size
        self.watch = efficiency.Stopwatch()
        self.cut_off, self.failures = 0, Failures(run.dataset.private)
        tokenizer, limit = prompter.tokenizer, run.model.max_new_tokens
        self.ends = prompter.ends(model)
        self.decoder = Decoder(model, prompter.shared_prefix(), tokenizer.pad_token_id, self.ends, limit)
        self.constraints = None
        if run.model.constrained != "none":
            from ner_utils.models.generation.constraints import Constraints

            scores = model.get_output_embeddings().weight.shape[0]
            self.constraints = Constraints(
                run.model.constrained, prompter.format, tokenizer, scores, limit, self.ends
            )

    def answers(self, sentences: Sequence[Sentence]) -> list[Answer | None]:
        """The answers, in the order of the sentences; None where there is none, see `failures`."""
        with self.watch("prepare"):
            prompts = self._prompts(sentences)
        answers: dict[int, Answer] = {}
        with self.watch("model"):
            order, most = sorted(prompts, key=lambda i: -len(prompts[i])), len(prompts)
            while left := [index for index in order if index not in answers]:
                part = left[:most]
                try:
                    self._write(prompts, sentences, part, answers)
                except Exception as error:
                    if self._halves(error):
                        continue
                    # The sentence that fails is one of those that were being written.
                    part = [index for index in part if index not in answers][: self.rows]
                    if not part:
                        raise
                    if len(part) > 1:
                        most = len(part) // 2
                        continue
                    self.failures.add(sentences[part[0]], error)
                    order.remove(part[0])
                most = len(prompts)
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
        """Adds the answers of the sentences that are left, as they end."""
        limits = None
        if self.constraints:
            words = ([self.prompter.calm(token) for token in sentences[i].tokens] for i in left)
            limits = [self.constraints.of(tokens) for tokens in words]
        for answer in self.decoder.answers([prompts[i] for i in left], self.rows, limits):
            answers[left[answer.index]] = answer
            if len(answers) % 64 == 0:
                print(f"generated {len(answers)}/{len(sentences)} sentences", flush=True)

    def _halves(self, error: Exception) -> bool:
        """Go on with half the rows where memory was short; whether that may help."""
        if self.rows == 1 or not efficiency.is_out_of_memory(error):
            return False
        self.rows //= 2
        print(f"out of memory: going on with {self.rows} answers side by side", flush=True)
        return True

    def text(self, tokens: Sequence[int]) -> str:
        """Tokens of an answer as text."""
        return self.prompter.template.written(tokens, self.ends)

    def read(self, sentence: Sentence, answer: Answer, text: str) -> Prediction:
        """An answer and its text as spans."""
        reading = self.prompter.format.read(text, sentence.tokens)
        confidences = tuple(self._confidence(answer, extent) for extent in reading.extents)
        spans, status, dropped = tuple(reading.spans), reading.status, reading.dropped
        return Prediction(sentence.id, spans, status, dropped, confidences=confidences)

    def _read_or_fail(self, sentence: Sentence, answer: Answer | None, text: str) -> Prediction:
        """An answer as spans; an empty prediction without an answer, or with one that breaks the reader."""
        if answer:
            try:
                return self.read(sentence, answer, text)
            except Exception as error:
                self.failures.add(sentence, error)
        return Prediction(sentence.id, (), "failed", dict.fromkeys(DROPPED, 0), confidences=())

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
        """Predictions and raw answers, in the order of the sentences. Raises `RuntimeError` where none of
        several sentences could be predicted."""
        answers = self.answers(sentences)
        with self.watch("read"):
            texts = [self.text(answer.tokens) if answer else "" for answer in answers]
            predictions = [self._read_or_fail(*row) for row in zip(sentences, answers, texts, strict=True)]
        self.failures.check(sentences)
        return predictions, texts

    def predict_one(self, sentence: Sentence) -> Prediction:
        """The prediction of a sentence by itself."""
        return self.predict([sentence])[0][0]


def predict_with_generator(
    run: Run, adapter: Path | None, sentences: Sequence[Sentence]
) -> tuple[list[Prediction], dict[str, Any]]:
    """Predict with an adapter (``None``: zero-shot); returns predictions in order, and what it cost.

    A sentence that cannot be predicted has a failed answer; raises `RuntimeError` where none of several can,
    `ValueError` where a chat template loses a part of the prompt, `FloatingPointError` where the model
    overflows in fp16.

    Raw answers, which quote the corpus, go to ``answers.jsonl`` in the run's scratch folder.
    """
    backbones.report_device()
    prompter = Prompter(run, weights.resolve(run.model.weights))
    merged = adapter is not None and run.model.merge_adapter
    if merged:
        model = backbones.load(AutoModelForCausalLM, merge(run, adapter), None).eval()
    else:
        model = load_for_prediction(run, adapter)
    backbones.check_range(model, prompter.shared_prefix(), prompter.name)
    generator = Generator(run, model, prompter)
    times = efficiency.latency(generator.predict_one, sentences[: run.latency_sentences])
    generator.watch.clear()
    generator.cut_off, generator.failures = 0, Failures(run.dataset.private)
    predictions, raw = generator.predict(sentences)
    run.scratch.mkdir(parents=True, exist_ok=True)
    with (run.scratch / "answers.jsonl").open("w", encoding="utf-8") as file:
        for sentence, answer in zip(sentences, raw, strict=True):
            file.write(json.dumps({"id": sentence.id, "answer": answer}, ensure_ascii=False) + "\n")
    seconds, usage = dict(generator.watch.seconds), generator.watch.usage
    cut_off, failed = generator.cut_off, len(generator.failures)
    cost = {
        "prediction_seconds": seconds,
        "sentences_per_second": len(sentences) / sum(seconds.values()),
        "batch_size": generator.rows,
        "prediction_usage": usage,
        "latency": efficiency.latency_again(times, generator.predict_one, sentences[: run.latency_sentences]),
        "prediction_memory": efficiency.peak_memory(),
        "prediction_truncation": {"cut_off_answers": cut_off},
        "failed_sentences": failed,
        "device": backbones.device(),
        "threads": torch.get_num_threads(),
    }
    if adapter is None:
        cost["parameters"] = efficiency.parameters(model) | {"trainable": 0}
    return predictions, cost
