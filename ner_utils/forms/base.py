"""What all output forms share: the instruction, and the cleaning of answers before they are read."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, NamedTuple

from ner_utils.data.predictions import STATUSES
from ner_utils.data.sentence import Sentence
from ner_utils.data.spans import Span
from ner_utils.forms.alignment import folded
from ner_utils.forms.grammar import Grammar
from ner_utils.messages import brief

Status = Literal[*STATUSES]
DROPPED = ("unknown_type", "malformed", "ungrounded", "duplicate")
# The wordings ask for the same, to show how much the wording alone changes a result.
TASKS = (
    "Find the named entities of these types: {types}.",
    "Which named entities does the text mention? Consider these types alone: {types}.",
    "You annotate text. Mark every entity that belongs to one of the types {types}.",
)

# Thoughts between tags. The end tag is missing if the answer was cut off.
_THOUGHTS = re.compile(
    r"<think>.*?(?:</think>|\Z)"
    r"|\A(?!\s*<think>)\s*(?i:<(think(?:ing)?|thoughts?|reasoning)>.*?(?:</\1>|\Z))",
    re.DOTALL,
)
# The begin tag is missing if the prompt wrote it. An end tag before a sign of a form can be text.
_END_OF_THOUGHTS = re.compile(r"</(?:think(?:ing)?|thoughts?|reasoning)>(?![\"'|:\]\\,}])", re.IGNORECASE)
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[ \t]*\w*[ \t]*$", re.MULTILINE)

Extent = tuple[int, int]  # begin and end of a part of an answer, in characters


class Reading(NamedTuple):
    """What an answer states: spans, the part of the answer that states each span, how the answer was read,
    and the number of dropped items by reason (`DROPPED`)."""

    spans: list[Span]
    extents: list[Extent]
    status: Status
    dropped: dict[str, int]


class Form(ABC):
    """A way to write the entities of a sentence.

    ``types`` maps the corpus' types to their names in instruction and answer. ``wording`` counts from 1.
    ``definitions`` maps types to explanations in the instruction.
    """

    answers: ClassVar[tuple[str, ...]]  # for each wording, how the instruction describes the answer

    def __init__(
        self, types: Mapping[str, str], wording: int = 1, definitions: Mapping[str, str] | None = None
    ) -> None:
        self.types, self.wording, self.definitions = dict(types), wording, dict(definitions or {})
        self._types_by_name = {name.strip().lower(): kind for kind, name in self.types.items()}
        plain = Counter(map(_plain, self.types.values()))
        self._types_by_plain_name = {
            _plain(name): kind for kind, name in self.types.items() if plain[_plain(name)] == 1
        }

    def instruction(self, order: Sequence[str] | None = None) -> str:
        """The instruction; ``order`` is another order of the types."""
        task, answer = (texts[self.wording - 1] for texts in (TASKS, self.answers))
        kinds = order or list(self.types)
        sentences = [task.format(types=", ".join(self.types[kind] for kind in kinds))]
        if defined := [kind for kind in kinds if kind in self.definitions]:
            meanings = (f"{self.types[kind]}: {self.definitions[kind]}" for kind in defined)
            sentences.append(f"What they mean: {'; '.join(meanings)}.")
        return " ".join([*sentences, answer])

    @abstractmethod
    def target(self, sentence: Sentence) -> str:
        """The answer that a model learns for a sentence."""

    @abstractmethod
    def grammar(self, tokens: Sequence[str] | None) -> Grammar:
        """Valid answers. With a sentence's tokens, every mention is a span of them; without, any text."""

    @abstractmethod
    def read(self, answer: str, tokens: Sequence[str]) -> Reading:
        """Parse an answer and find its mentions in the sentence.

        Status ``ok``: the whole answer has the form. ``recovered``: a part of the answer was read, or it has
        another notation. ``failed``: nothing was read, so there are no spans and no dropped items. Each item
        of an answer is either a span or counted as dropped. Thoughts, prose, code fences and drafts before
        the answer are no items.
        """

    def type_of(self, name: str) -> str | None:
        """The corpus' type with this name. Case does not matter; punctuation and code points do not matter
        unless they distinguish two types."""
        return self._types_by_name.get(name.strip().lower()) or self._types_by_plain_name.get(_plain(name))


def _plain(name: str) -> str:
    """The letters and digits of a name; the name itself if it has none."""
    return re.sub(r"[\W_]+", "", folded(name)).lower() or name


def without_thoughts(answer: str) -> list[str]:
    """The answer with thoughts replaced by spaces, so that offsets stay the same; and the answer with
    everything replaced up to the last end tag that has no begin tag. Both, because the sentence can contain
    such a tag."""
    rest = _THOUGHTS.sub(_spaces, answer)
    last = max((tag.end() for tag in _END_OF_THOUGHTS.finditer(rest)), default=0)
    return list(dict.fromkeys([rest, " " * last + rest[last:]]))


def without_fences(answer: str) -> str:
    """The answer with Markdown's code fences replaced by spaces, so that offsets stay the same."""
    return _FENCE.sub(_spaces, answer)


def _spaces(match: re.Match[str]) -> str:
    return " " * len(match[0])


def check(form: Form) -> None:
    """Raise `ValueError` with a type and its name unless the form reads back what it writes: for every type,
    mentions of one and two tokens, at the begin and end of a sentence and side by side."""
    tokens = ("Ada", "Byron", "met", "Bo", "Li")
    for kind, name in form.types.items():
        for places in ([(0, 1), (1, 2), (4, 5)], [(0, 2), (3, 5)]):
            spans = tuple(Span(*place, kind) for place in places)
            reading = form.read(form.target(Sentence("", None, tokens, spans)), tokens)
            whole = reading.status == "ok" and not any(reading.dropped.values())
            if tuple(reading.spans) != spans or not whole or not folded(name):
                raise ValueError(
                    f"type {brief(kind)}: an answer with the word {brief(name)} is not read back as it was "
                    "written; expected a word that can be seen, is no other type's, holds no tag or line end"
                )
