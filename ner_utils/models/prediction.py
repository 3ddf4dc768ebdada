"""What do predictions of all models have in common? How failures are counted, and the cost.

A sentence that cannot be predicted has an empty prediction, is counted and reported, and the run goes on. If
no sentence can be predicted, the model is at fault, and the run ends with the first error.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ner_utils import efficiency, processes
from ner_utils.data import IGNORED
from ner_utils.data.corpus import Sentence
from ner_utils.data.predictions import Prediction
from ner_utils.data.spans import spans_from_tags
from ner_utils.files import write_whole
from ner_utils.messages import one_line
from ner_utils.models import backbones

REPORTED = 5  # failures that are reported one by one


class Failures:
    """The sentences that could not be predicted, by their ids. Of a ``private`` corpus, neither ids nor
    messages are printed, because they may quote text."""

    def __init__(self, private: bool) -> None:
        self.private = private
        self.errors: dict[str, Exception] = {}

    def __len__(self) -> int:
        return len(self.errors)

    def add(self, sentence: Sentence, error: Exception) -> None:
        """Count a sentence. An error of the device is raised again, because nothing can be computed after
        it, and so is short memory, because it says nothing about the model."""
        if isinstance(error, torch.AcceleratorError) or processes.is_out_of_memory(error):
            raise error
        self.errors[sentence.id] = error
        if len(self.errors) <= REPORTED:
            print(f"no prediction for {self._described(sentence.id, error)}", flush=True)
        if len(self.errors) == REPORTED:
            print("further failures are counted, not reported", flush=True)

    def _described(self, name: str, error: Exception) -> str:
        kind = type(error).__name__
        if self.private:
            return f"a sentence ({kind})"
        return f"{one_line(name)} ({kind}: {one_line(str(error))})"

    def check(self, sentences: Sequence[Sentence]) -> None:
        """Raise `RuntimeError` if none of several sentences could be predicted."""
        failed = [sentence.id for sentence in sentences if sentence.id in self.errors]
        if len(failed) == len(sentences) > 1:
            error = self.errors[failed[0]]
            raise RuntimeError(
                f"none of {len(sentences)} sentences could be predicted; first failure: "
                f"{self._described(failed[0], error)}"
            ) from error


def predict_in_batches(
    sentences: Sequence[Sentence],
    lengths: Mapping[int, int],
    budget: int,
    failures: Failures,
    predict: Callable[[list[int]], Sequence[Prediction]],
) -> tuple[list[Prediction], int]:
    """Predictions of all sentences in order, and the number of batches.

    ``predict`` takes the places of some sentences that have ``lengths``, the longest first, at most
    ``budget`` tokens with padding. Where memory does not suffice, the budget is halved; where a batch fails,
    its halves are tried, so that only the sentences at fault have no spans. Raises `RuntimeError` if none of
    several sentences can be predicted.
    """
    order = sorted(lengths, key=lambda place: -lengths[place])
    predicted: dict[int, Prediction] = {}
    batches, most = 0, len(order)
    while left := order[len(predicted) :]:
        places = left[: min(most, max(1, budget // max(1, lengths[left[0]])))]
        try:
            predicted |= zip(places, predict(places), strict=True)
        except Exception as error:
            if len(places) == 1:
                failures.add(sentences[places[0]], error)
                order.remove(places[0])
                most = len(order)
            elif processes.is_out_of_memory(error):
                budget //= 2
                print("out of memory: going on with batches half as large", flush=True)
            else:  # one of these sentences fails
                most = len(places) // 2
            continue
        batches, most = batches + 1, len(order)
    failures.check(sentences)
    empty = (Prediction(sentence.id, (), repaired=(), confidences=()) for sentence in sentences)
    return [predicted.get(place, each) for place, each in enumerate(empty)], max(1, batches)


def tags_of(words: Sequence[int], tag_ids: Sequence[int], length: int, names: list[str]) -> list[str]:
    """The tags of a sentence's words; words without a position have O."""
    tags = ["O"] * length
    for word, tag in zip(words, tag_ids, strict=False):  # padding follows
        if word != IGNORED:
            tags[word] = names[tag]
    return tags


def prediction_of(
    sentence: Sentence, words: Sequence[int], tagged: np.ndarray, names: list[str]
) -> Prediction:
    """The prediction for a sentence from its best tags and their log-probabilities, [2, sub-tokens]."""
    tags = tags_of(words, tagged[0].astype(int), len(sentence.tokens), names)
    spans = spans_from_tags(tags)[0]
    sure = dict(zip(words, tagged[1], strict=False))  # by word; every word in a span has a position
    return Prediction(
        sentence.id,
        tuple(spans),
        repaired=tuple(place for place, span in enumerate(spans) if tags[span.start][0] == "I"),
        confidences=tuple(
            min(0.0, float(np.mean([sure[word] for word in range(*span[:2])]))) for span in spans
        ),
    )


def keep_answers(path: Path, sentences: Sequence[Sentence], answers: Sequence[str]) -> None:
    """Store raw answers by the sentences' ids, in addition to those of other sentences in the file."""
    rows = {}
    if path.is_file():
        with path.open(encoding="utf-8") as lines:  # str.splitlines also splits at marks inside of an answer
            rows = {row["id"]: row for row in map(json.loads, lines)}
    for sentence, answer in zip(sentences, answers, strict=True):
        rows[sentence.id] = {"id": sentence.id, "answer": answer}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows.values()).encode())


class Alone:
    """Sentences that are predicted one at a time, which gives the latency."""

    def __init__(self, predict_one: Callable[[Sentence], Prediction], sentences: Sequence[Sentence]) -> None:
        self._predict_one, self._sentences = predict_one, sentences
        self._predicted: dict[str, Prediction] = {}
        self._times = efficiency.latency(self._predict, sentences)

    def _predict(self, sentence: Sentence) -> None:
        with suppress(Exception):  # failures are counted when all sentences are predicted
            self._predicted[sentence.id] = self._predict_one(sentence)

    def latency(self, in_batches: Iterable[Prediction]) -> dict[str, Any]:
        """The latency, taken again if the machine was busy, and how many of the sentences have other spans in
        batches: sums in another order may change a close decision."""
        times = efficiency.latency_again(self._times, self._predict, self._sentences)
        alone = self._predicted
        other = sum(each.id in alone and alone[each.id].spans != each.spans for each in in_batches)
        return times | {"differing": other}


def cost_of_prediction(watch: efficiency.Stopwatch, sentences: int, failures: Failures) -> dict[str, Any]:
    """The keys of efficiency.json that all systems have, for so many sentences: seconds by phase,
    sentences/s, CPU usage, peak memory, number of failed sentences, device and threads."""
    return {
        "prediction_seconds": dict(watch.seconds),
        "sentences_per_second": sentences / sum(watch.seconds.values()),
        "prediction_usage": watch.usage,
        "prediction_memory": efficiency.peak_memory(),
        "failed_sentences": len(failures),
        "device": backbones.device(),
        "threads": torch.get_num_threads(),
    }
