"""Where the mentions that a text states are in a sentence: the only place that maps text to tokens."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from ner_utils.spans import Span


class Alignment(NamedTuple):
    """Mentions as spans, and what could not be placed."""

    spans: list[Span]
    origins: list[int]  # which of the mentions each span is
    ungrounded: int  # the surface is not in the sentence
    duplicate: int  # it is, but every occurrence is taken
    copied: float = 1.0  # share of the sentence's letters that a copy of it holds


class _Letters(NamedTuple):
    """A sentence without its white space, and the offsets where its tokens begin and end."""

    text: str
    begins: dict[int, int]
    ends: dict[int, int]

    @classmethod
    def of(cls, tokens: Sequence[str]) -> _Letters:
        begins, ends, text = {}, {}, ""
        for index, token in enumerate(tokens):
            begins[len(text)] = index
            text += bare(token)
            ends[len(text)] = index + 1
        return cls(text, begins, ends)

    def places(self, wanted: str) -> Iterator[tuple[int, int]]:
        """Tokens, ``end`` exclusive, of each place where a text stands at token boundaries."""
        at = self.text.find(wanted) if wanted else -1
        while at >= 0:
            start, end = self.begins.get(at), self.ends.get(at + len(wanted))
            if start is not None and end is not None:
                yield start, end
            at = self.text.find(wanted, at + 1)


def bare(text: str) -> str:
    """A text without its white space, which does not matter: ``Norway's`` is ``Norway 's``."""
    return "".join(text.split())


def occurrences(mention: str, tokens: Sequence[str]) -> list[tuple[int, int]]:
    """All places of a surface, left to right, as token indices, ``end`` exclusive."""
    return list(_Letters.of(tokens).places(bare(mention)))


def repeated(tokens: Sequence[str], longest: int) -> Iterator[tuple[str, int]]:
    """Texts of up to ``longest`` tokens that stand more than once in a sentence, and how often."""
    letters, seen = _Letters.of(tokens), set()
    for start, end in itertools.combinations(range(len(tokens) + 1), 2):
        text = " ".join(tokens[start:end])
        if end - start <= longest and text not in seen:
            seen.add(text)
            times = sum(1 for _ in letters.places(bare(text)))
            if times > 1:
                yield text, times


def align(mentions: Iterable[tuple[str, str, int | None]], tokens: Sequence[str]) -> Alignment:
    """Place mentions (surface, type, occurrence), in order: on that occurrence, counted from 1, or where
    none is named on the first unused one.

    White space does not matter, case does; an occurrence begins and ends at token boundaries and
    overlaps no span placed before.
    """
    letters, placed = _Letters.of(tokens), _Placed(len(tokens))
    for mention, kind, number in mentions:
        places = list(letters.places(bare(mention)))
        placed.add(places if number is None else places[number - 1 :][:1], kind)
    return placed.alignment()


def transfer(written: str, mentions: Iterable[tuple[int, int, str]], tokens: Sequence[str]) -> Alignment:
    """Place mentions (begin, end, type; offsets in ``written``) of a copy of the sentence without its white
    space, which may differ from it: a mention is where all its letters are, side by side, in the sentence."""
    letters, placed = _Letters.of(tokens), _Placed(len(tokens))
    place = {at: at for at in range(len(written))}
    if written != letters.text:
        blocks = SequenceMatcher(None, written, letters.text, autojunk=False).get_matching_blocks()
        place = {block.a + i: block.b + i for block in blocks for i in range(block.size)}
    for begin, end, kind in mentions:
        at = place.get(begin, -1)
        whole = all(place.get(begin + i) == at + i for i in range(end - begin))
        start, stop = letters.begins.get(at), letters.ends.get(at + end - begin)
        known = whole and begin < end and start is not None and stop is not None
        placed.add([(start, stop)] if known else [], kind)
    return placed.alignment()._replace(copied=len(place) / max(1, len(letters.text)))


class _Placed:
    """Spans that overlap none before them."""

    def __init__(self, length: int) -> None:
        self.used, self.spans = [False] * length, []  # each with the number of its mention
        self.ungrounded = self.duplicate = self.mentions = 0

    def add(self, places: Sequence[tuple[int, int]], kind: str) -> None:
        """Place a mention at the first place that is free."""
        self.mentions += 1
        for start, end in places:
            if not any(self.used[start:end]):
                self.used[start:end] = [True] * (end - start)
                self.spans.append((Span(start, end, kind), self.mentions - 1))
                return
        self.ungrounded += not places
        self.duplicate += bool(places)

    def alignment(self) -> Alignment:
        spans, origins = map(list, zip(*sorted(self.spans), strict=True)) if self.spans else ([], [])
        return Alignment(spans, origins, self.ungrounded, self.duplicate)
