"""Forms whose answers repeat the sentence: how a copy of it, also an imperfect one, becomes spans."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from ner_utils.forms.alignment import bare, transfer, whole_copies
from ner_utils.forms.base import DROPPED, Extent, Form, Reading, without_fences, without_thoughts
from ner_utils.forms.grammar import completion

LEAST_COPIED = 0.5  # share of a sentence's letters that an answer must contain to be a copy of it


class CopiedMention(NamedTuple):
    """A mention in a copy: its offsets in `Copy.text`, the name of its type, and its place in the answer."""

    begin: int
    end: int
    name: str
    extent: Extent


class Copy(NamedTuple):
    """A parsed answer: the copy of the sentence without white space and marks, its mentions, the offsets of
    malformed mentions, and whether the answer has the form."""

    text: str
    mentions: list[CopiedMention]
    malformed: list[int]
    has_form: bool = True

    def part(self, begin: int, end: int) -> Copy:
        """A part of the copy. A mention that crosses the ends becomes empty and is dropped."""
        mentions = []
        for each in self.mentions:
            if begin <= each.begin and each.end <= end:
                mentions.append(each._replace(begin=each.begin - begin, end=each.end - begin))
            elif each.begin < end and begin < each.end:
                mentions.append(each._replace(begin=0, end=0))
        malformed = [at - begin for at in self.malformed if begin <= at <= end]
        return Copy(self.text[begin:end], mentions, malformed, has_form=False)

    def best_part(self, tokens: Sequence[str]) -> Copy:
        """The last exact copy of the sentence that has mentions. If all mentions stand outside of exact
        copies, the text before the first or after the last one, whichever has more mentions."""
        places = whole_copies(self.text, tokens)
        parts = [self.part(begin, end) for begin, end in places]
        if marked := [part for part in parts if part.mentions or part.malformed]:
            return marked[-1]
        if not parts or not self.mentions:
            return parts[-1] if parts else self
        sides = self.part(0, places[0][0]), self.part(places[-1][1], len(self.text))
        return max(sides, key=lambda side: len(side.mentions))


class CopyForm(Form):
    """A form whose answers repeat the sentence."""

    @abstractmethod
    def _parse(self, answer: str) -> Copy:
        """Parse an answer that has the form."""

    @abstractmethod
    def _parse_loosely(self, answer: str) -> Copy:
        """Parse an answer in another notation."""

    def read(self, answer: str, tokens: Sequence[str]) -> Reading:
        """See `Form.read`. An answer is read if it contains half of the sentence's letters, or a mention that
        is in the sentence. If it contains the sentence several times, see `Copy.best_part`."""
        without = without_thoughts(answer)
        for text in dict.fromkeys((answer, *without)):  # the sentence can contain the tags of thoughts
            reading = self._place(self._parse(text), tokens)
            if reading.status == "ok":
                return reading
        return self._place(self._parse_loosely(without_fences(without[-1])).best_part(tokens), tokens)

    def _place(self, copy: Copy, tokens: Sequence[str]) -> Reading:
        dropped, known, extents = dict.fromkeys(DROPPED, 0), [], []
        for begin, end, name, extent in copy.mentions:
            if kind := self.type_of(name):
                known.append((begin, end, kind))
                extents.append(extent)
            else:
                dropped["unknown_type"] += 1
        placed = transfer(copy.text, known, tokens)
        if placed.copied < LEAST_COPIED and not placed.spans:
            return Reading([], [], "failed", dict.fromkeys(DROPPED, 0))
        dropped |= {"ungrounded": placed.ungrounded, "duplicate": placed.duplicate}
        dropped["malformed"] = len(copy.malformed)
        exact = copy.has_form and not copy.malformed and copy.text == bare("".join(tokens))
        extents = [extents[origin] for origin in placed.origins]
        return Reading(placed.spans, extents, "ok" if exact else "recovered", dropped)


def completion_matching(piece: bytes, pattern: re.Pattern[bytes]) -> bytes:
    """The fewest bytes that make a piece match. They do not end in white space."""

    def is_whole(text: bytes) -> bool:
        try:
            ends_in_space = text.decode()[-1:].isspace()
        except UnicodeDecodeError:
            return False
        return bool(pattern.fullmatch(text)) and (text == piece or not ends_in_space)

    return completion(piece, is_whole)
