"""What the output forms have in common: instruction, answer, grammar, and how an answer is read."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, NamedTuple

from ner_utils.data.corpus import Sentence
from ner_utils.data.spans import Span
from ner_utils.forms.alignment import folded
from ner_utils.forms.grammar import Grammar

Status = Literal["ok", "recovered", "failed"]
DROPPED = ("unknown_type", "malformed", "ungrounded", "duplicate")
# Each wording asks the same in other words, to show how much wording alone moves a result.
TASKS = (
    "Find the named entities of these types: {types}.",
    "Which named entities does the text mention? Consider these types alone: {types}.",
    "You annotate text. Mark every entity that belongs to one of the types {types}.",
)

# Thoughts stand between tags: the last may be missing where the answer is cut off, the first where the prompt
# wrote it.
_THOUGHTS = re.compile(
    r"<think>.*?(?:</think>|\Z)"
    r"|\A(?!\s*<think>)\s*(?i:<(think(?:ing)?|thoughts?|reasoning)>.*?(?:</\1>|\Z))",
    re.DOTALL,
)
_END_OF_THOUGHTS = re.compile(r"</(?:think(?:ing)?|thoughts?|reasoning)>(?![\"'|:\]\\,}])", re.IGNORECASE)
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[ \t]*\w*[ \t]*$", re.MULTILINE)

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
        self._type_of = {name.strip().lower(): kind for kind, name in self.types.items()}
        plain = Counter(map(_plain, self.types.values()))
        self._alike = {_plain(name): kind for kind, name in self.types.items() if plain[_plain(name)] == 1}

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

        ``ok``: the whole answer has the form. ``recovered``: a part of the answer was read, or it was read
        in another notation. ``failed``: nothing was read, so there are no spans, and nothing is counted.
        Every item that an answer states is a span, or is counted under the reason why it is none. Thoughts,
        prose, fences and drafts before the answer state no items.
        """

    def kind(self, name: str) -> str | None:
        """The corpus' type of a name in an answer: whatever its case, or where the name is no other type's,
        whatever its punctuation and code points."""
        return self._type_of.get(name.strip().lower()) or self._alike.get(_plain(name))


def _plain(name: str) -> str:
    """The letters and digits of a name; the name where it has none."""
    return re.sub(r"[\W_]+", "", folded(name)).lower() or name


def without_thoughts(answer: str) -> list[str]:
    """An answer with white space, as long, for the thoughts that some models begin with; the same once more
    where a tag ends thoughts that no tag begins. Such a tag may be a part of the sentence: it is one where a
    sign of the form follows it."""
    rest = _THOUGHTS.sub(_blank, answer)
    last = max((tag.end() for tag in _END_OF_THOUGHTS.finditer(rest)), default=0)
    return list(dict.fromkeys([rest, " " * last + rest[last:]]))


def without_fences(answer: str) -> str:
    """An answer with white space, as long, for lines that begin and end a block of code in Markdown."""
    return _FENCE.sub(_blank, answer)


def _blank(piece: re.Match[str]) -> str:
    return " " * len(piece[0])


def check(form: Form) -> None:
    """Raise `ValueError` with a type and its word unless a form reads back what it writes: mentions of one
    and of two tokens, first, last and side by side in a sentence, for every type."""
    tokens = ("Ada", "Byron", "met", "Bo", "Li")
    for kind, name in form.types.items():
        for places in ([(0, 1), (1, 2), (4, 5)], [(0, 2), (3, 5)]):
            spans = tuple(Span(*place, kind) for place in places)
            target = form.target(Sentence("", None, tokens, spans))
            reading = form.read(target, tokens)
            whole = reading.status == "ok" and not any(reading.dropped.values())
            if tuple(reading.spans) != spans or not whole or not folded(name):
                raise ValueError(
                    f"type {_short(kind)}: an answer with the word {_short(name)} is not read back as it was "
                    "written; expected a word that can be seen, is no other type's, holds no tag or line end"
                )


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}…")
