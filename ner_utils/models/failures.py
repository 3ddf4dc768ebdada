"""What becomes of a sentence that cannot be predicted?

Its prediction is empty, it is counted and reported, and the run goes on. Where no sentence can be predicted,
the fault is the model's: the run ends with the first error.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ner_utils.data.corpus import Sentence

REPORTED = 5  # failures that are reported one by one
LONGEST = 200  # characters of an error's message


class Failures:
    """The sentences that could not be predicted, by their ids. Of a ``private`` corpus neither ids nor
    messages, which may quote text, are printed."""

    def __init__(self, private: bool) -> None:
        self.private = private
        self.errors: dict[str, Exception] = {}

    def __len__(self) -> int:
        return len(self.errors)

    def add(self, sentence: Sentence, error: Exception) -> None:
        """Count a sentence. An error of the device is raised again: nothing can be computed after it."""
        if isinstance(error, torch.AcceleratorError):
            raise error
        self.errors[sentence.id] = error
        if len(self.errors) <= REPORTED:
            print(f"no prediction for {self._described(sentence.id, error)}", flush=True)
        if len(self.errors) == REPORTED:
            print("further failures are counted, not reported", flush=True)

    def _described(self, name: str, error: Exception) -> str:
        kind = type(error).__name__
        return f"a sentence ({kind})" if self.private else f"{_shown(name)} ({kind}: {_shown(str(error))})"

    def check(self, sentences: Sequence[Sentence]) -> None:
        """Raise `RuntimeError` where none of several sentences could be predicted."""
        failed = [sentence.id for sentence in sentences if sentence.id in self.errors]
        if len(failed) == len(sentences) > 1:
            error = self.errors[failed[0]]
            raise RuntimeError(
                f"none of {len(sentences)} sentences could be predicted; first failure: "
                f"{self._described(failed[0], error)}"
            ) from error


def _shown(text: str) -> str:
    """Text of unknown origin for a terminal: short, and without control characters."""
    return ascii(text[:LONGEST])[1:-1]
