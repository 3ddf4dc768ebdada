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


Extent = tuple[int, int]  # of a piece of an answer: where it begins and ends, in characters


class Reading(NamedTuple):
    """An answer, read: spans, where it states them, how the text had to be treated, and what was dropped."""

    spans: list[Span]
    extents: list[Extent]
    status: Status
    dropped: dict[str, int]


class Form(ABC):
    """How a sentence's entities are written.

    ``types`` maps a corpus' types to the words used for them in instruction and answer; ``wording`` counts
    from 1; ``definitions`` says of types what the instruction explains.
    """

    answers: ClassVar[tuple[str, ...]]  # what each wording says about the answer

    def __init__(
        self, types: Mapping[str, str], wording: int = 1, definitions: Mapping[str, str] | None = None
    ) -> None:
        self.types, self.wording, self.definitions = dict(types), wording, dict(definitions or {})
        self._type_of = {name.lower(): kind for kind, name in self.types.items()}

    def instruction(self, order: Sequence[str] | None = None) -> str:
        """The request, with the types in their order or in another one."""
        task, answer = (texts[self.wording - 1] for texts in (TASKS, self.answers))
        kinds = order or list(self.types)
        listed = task.format(types=", ".join(self.types[kind] for kind in kinds))
        meant = [
            f"{self.types[kind]}: {self.definitions[kind]}" for kind in kinds if kind in self.definitions
        ]
        return " ".join([listed, *([f"What they mean: {'; '.join(meant)}."] if meant else []), answer])

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
    """An answer with white space, as long, for the think block that some models begin with."""
    return _THINK.sub(lambda block: " " * len(block[0]), answer)
