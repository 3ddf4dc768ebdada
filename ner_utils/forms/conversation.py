"""Which messages ask a model for the entities of a sentence?"""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection
from dataclasses import replace

from ner_utils import data
from ner_utils.config.run import Run
from ner_utils.data.sentence import Sentence
from ner_utils.forms.registry import form

Messages = list[dict[str, str]]  # role and content of each


def examples(run: Run) -> list[Sentence]:
    """The examples of a few-shot prompt: training sentences drawn with the run's seed, by turns one with
    mentions and one without."""
    if not run.few_shot:
        return []
    train = data.load_split(run.dataset_name, run.dataset, "train")
    train = random.Random(run.seed).sample(train, len(train))
    full, empty = ([s for s in train if bool(s.spans) is some] for some in (True, False))
    shown = [s for pair in itertools.zip_longest(full, empty) for s in pair if s]
    return shown[: run.few_shot]


class Conversation:
    """Turns sentences into messages and answers, ``without`` some types of the corpus."""

    def __init__(self, run: Run, without: Collection[str] = ()) -> None:
        self.format, self.examples = form(run.model, run.dataset, without), examples(run)

    def plain_text(self, text: str) -> str:
        """The text as a model reads it; mentions are compared without white space, so that blanks may be
        added."""
        return text

    def turns(self) -> list[tuple[str, str]]:
        """The examples, each with its answer."""
        return [(self.plain_text(shown.text), self.answer(shown)) for shown in self.examples]

    def messages(self, sentence: Sentence, instruction: str, system_turn: bool = True) -> Messages:
        """The instruction, the examples and the sentence; without a system turn, the instruction begins the
        first message."""
        messages = []
        for question, answer in self.turns():
            messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        messages.append({"role": "user", "content": self.plain_text(sentence.text)})
        if system_turn:
            return [{"role": "system", "content": instruction}, *messages]
        messages[0]["content"] = f"{instruction}\n\n{messages[0]['content']}"
        return messages

    def answer(self, sentence: Sentence) -> str:
        """The answer that training teaches and examples show."""
        return self.format.target(replace(sentence, tokens=tuple(map(self.plain_text, sentence.tokens))))
