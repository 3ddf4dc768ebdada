"""What the output forms have in common: instruction, answer, grammar, and how an answer is read."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, NamedTuple

from ner_utils.data import Sentence
from ner_utils.grammar import Grammar
from ner_utils.spans import Span

Status = Literal["ok", "recovered", "failed"]
DROPPED = ("unknown_type", "malformed", "ungrounded", "duplicate")
# Each wording asks the same in other words, to show how much wording alone moves a result.
TASKS = (
    "Find the named entities of these types: {types}.",
    "Which named entities does the text mention? Consider these types alone: {types}.",
    "You annotate text. Mark every entity that belongs to one of the types {types}.",
)

_THINK = re.compile(r"<think>.*?(</think>|\Z)", re.DOTALL)


class Reading(NamedTuple):
    """An answer, read: spans, how the text had to be treated, and what was dropped and why."""

    spans: list[Span]
    status: Status
    dropped: dict[str, int]


class Form(ABC):
    """How a sentence's entities are written.

    ``types`` maps a corpus' types to the words used for them in instruction and answer; ``wording`` counts
    from 1.
    """

    answers: ClassVar[tuple[str, ...]]  # what each wording says about the answer

    def __init__(self, types: Mapping[str, str], wording: int = 1) -> None:
        self.types, self.wording = dict(types), wording
        self._type_of = {name.lower(): kind for kind, name in self.types.items()}

    @property
    def instruction(self) -> str:
        """The part of the prompt that all sentences share."""
        task, answer = (texts[self.wording - 1] for texts in (TASKS, self.answers))
        return f"{task.format(types=', '.join(self.types.values()))} {answer}"

    @abstractmethod
    def target(self, sentence: Sentence) -> str:
        """The answer that training asks for."""

    @abstractmethod
    def grammar(self, tokens: Sequence[str] | None) -> Grammar:
        """Valid answers. With a sentence's tokens, every mention is a span of them; without, any text."""

    @abstractmethod
    def read(self, answer: str, tokens: Sequence[str]) -> Reading:
        """Parse an answer and place its mentions in the sentence.

        ``ok``: the whole answer has the form. ``recovered``: a part of it does. ``failed``: nothing does.
        Whatever an answer holds beyond placeable mentions of known types is counted.
        """

    def kind(self, name: str) -> str | None:
        """The corpus' type of a name in an answer."""
        return self._type_of.get(name.strip().lower())


def without_thoughts(answer: str) -> str:
    """An answer without the think block that some models begin with."""
    return _THINK.sub("", answer)
