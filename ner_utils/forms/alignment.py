"""Finds in a sentence the mentions that an answer states: the only code that maps text to tokens."""

from __future__ import annotations

import bisect
import itertools
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from ner_utils.data.spans import Span

# Letters of an answer that are compared with a sentence; four times the sentence's letters if that is more.
# The limit is needed because the time grows with the product of both numbers.
LETTERS_COMPARED = 1000

Place = tuple[int, int]  # indices of tokens, the end exclusive


class Alignment(NamedTuple):
    """Mentions as spans, and the numbers of mentions that have no span."""

    spans: list[Span]
    origins: list[int]  # for each span, the index of its mention
    ungrounded: int  # mentions whose text is not in the sentence, or not as often as their number says
    duplicate: int  # mentions whose text is in the sentence, but each occurrence is part of another span
    copied: float = 1.0  # share of the sentence's letters that a copy of it contains


class _CodePoints(dict):
    """A table for `str.translate` that replaces quotes and dashes by ASCII and removes format characters."""

    def __missing__(self, code: int) -> str | int | None:
        category = unicodedata.category(chr(code))
        ignored = category == "Cf" or 0xFE00 <= code <= 0xFE0F  # format characters and variation selectors
        self[code] = None if ignored else "-" if category == "Pd" else code
        return self[code]


_CODE_POINTS = _CodePoints(dict.fromkeys(map(ord, "‘’‚‛`´ʼ′"), "'") | dict.fromkeys(map(ord, '“”„‟″"'), "''"))


def bare(text: str) -> str:
    """A text without white space, so that ``Norway's`` equals ``Norway 's``."""
    return "".join(text.split())


def folded(text: str) -> str:
    """A text without white space in which equivalent code points are equal: in Unicode's form NFKD, without
    format characters, with one kind of quotes and one of dashes. The form is decomposed, because an accent
    can be a token."""
    plain = unicodedata.normalize("NFKD", text.translate(_CODE_POINTS))
    return bare(plain.translate(_CODE_POINTS))


class _Letters:
    """A sentence without white space. ``begins`` and ``ends`` map offsets in ``text`` to borders of tokens;
    a token that ``spell`` (`bare` or `folded`) leaves empty has no border."""

    def __init__(self, tokens: Sequence[str], spell: Callable[[str], str]) -> None:
        self.text = ""
        self.begins: dict[int, int] = {}
        self.ends: dict[int, int] = {}
        for index, token in enumerate(tokens):
            if letters := spell(token):
                self.begins[len(self.text)] = index
                self.text += letters
                self.ends[len(self.text)] = index + 1

    def place(self, begin: int, end: int) -> list[Place]:
        """The tokens of a part of ``text``; empty unless both ends are borders of tokens."""
        start, stop = self.begins.get(begin), self.ends.get(end)
        return [] if start is None or stop is None else [(start, stop)]

    def places(self, text: str) -> Iterator[Place]:
        """All places of a text that begin and end at borders of tokens, left to right."""
        at = self.text.find(text) if text else -1
        while at >= 0:
            yield from self.place(at, at + len(text))
            at = self.text.find(text, at + 1)


def occurrences(mention: str, tokens: Sequence[str]) -> list[Place]:
    """All places of a text in a sentence, left to right; white space does not matter."""
    return list(_Letters(tokens, bare).places(bare(mention)))


def repeated(tokens: Sequence[str], longest: int) -> Iterator[tuple[str, int]]:
    """Texts of up to ``longest`` tokens that occur more than once in a sentence, and how often."""
    letters, seen = _Letters(tokens, bare), set()
    for start in range(len(tokens)):
        for end in range(start + 1, min(len(tokens), start + longest) + 1):
            text = " ".join(tokens[start:end])
            if text not in seen:
                seen.add(text)
                times = sum(1 for _ in letters.places(bare(text)))
                if times > 1:
                    yield text, times


def align(mentions: Iterable[tuple[str, str, int | None]], tokens: Sequence[str]) -> Alignment:
    """Place mentions (text, type, occurrence) in their order.

    A mention is placed at the given occurrence (from 1), or, without one, at the first that overlaps no span
    placed before. White space does not matter, case does. Occurrences begin and end at borders of tokens;
    those in equivalent code points (`folded`) come after the exact ones.
    """
    exact, loose = _Letters(tokens, bare), _Letters(tokens, folded)
    candidates = []
    for text, kind, number in mentions:
        same, alike = list(exact.places(bare(text))), list(loose.places(folded(text)))
        if number is None:
            candidates.append(([*same, *alike], kind))
        else:
            candidates.append((same[number - 1 :][:1] or alike[number - 1 :][:1], kind))
    return _assign(candidates)


def transfer(written: str, mentions: Iterable[tuple[int, int, str]], tokens: Sequence[str]) -> Alignment:
    """Place mentions (begin, end, type) of an imperfect copy of the sentence.

    ``written`` is the copy without white space, and offsets refer to it. A mention is placed where all its
    letters stand side by side in the sentence, exactly or in equivalent code points (`folded`).
    """
    mentions = list(mentions)
    places, copied = _places_of_copy(written, mentions, tokens, bare)
    if copied < 1 or not all(places):
        alike, share = _places_of_copy(written, mentions, tokens, folded)
        places = [first or second for first, second in zip(places, alike, strict=True)]
        copied = max(copied, share)
    kinds = [kind for _, _, kind in mentions]
    return _assign(zip(places, kinds, strict=True))._replace(copied=copied)


def _assign(candidates: Iterable[tuple[Sequence[Place], str]]) -> Alignment:
    """Place each mention, given its possible places and its type, at the first place that is free."""
    used: set[int] = set()
    spans: list[tuple[Span, int]] = []
    ungrounded = duplicate = 0
    for index, (places, kind) in enumerate(candidates):
        free = next((place for place in places if used.isdisjoint(range(*place))), None)
        if free:
            used.update(range(*free))
            spans.append((Span(*free, kind), index))
        elif places:
            duplicate += 1
        else:
            ungrounded += 1
    spans.sort()
    return Alignment([span for span, _ in spans], [index for _, index in spans], ungrounded, duplicate)


# ------------------------------------------------------------------- copies of a sentence
def _places_of_copy(
    written: str, mentions: Sequence[tuple[int, int, str]], tokens: Sequence[str], spell: Callable[[str], str]
) -> tuple[list[list[Place]], float]:
    """For each mention of a copy one place or none, and the share of the sentence's letters in the copy."""
    letters = _Letters(tokens, spell)
    cuts = sorted({0, len(written), *(offset for begin, end, _ in mentions for offset in (begin, end))})
    parts = [spell(written[begin:end]) for begin, end in itertools.pairwise(cuts)]
    # Spelling changes lengths, so offsets are moved.
    moved = dict(zip(cuts, itertools.accumulate(map(len, parts), initial=0), strict=True))
    in_sentence = _matching_letters("".join(parts), letters.text)
    places: list[list[Place]] = []
    for begin, end in ((moved[begin], moved[end]) for begin, end, _ in mentions):
        first = in_sentence.get(begin, -1)
        whole = begin < end and all(in_sentence.get(begin + i) == first + i for i in range(end - begin))
        places.append(letters.place(first, first + end - begin) if whole else [])
    return places, len(in_sentence) / max(1, len(letters.text))


def _matching_letters(written: str, sentence: str) -> dict[int, int]:
    """Offsets of letters of a copy, each with the offset of the same letter in the sentence."""
    if written == sentence:
        return {at: at for at in range(len(written))}
    size = max(LETTERS_COMPARED, 4 * len(sentence))
    first = _most_similar_part(written, sentence, size)
    part = written[first : first + size]
    blocks = SequenceMatcher(None, part, sentence, autojunk=False).get_matching_blocks()
    return {first + block.a + i: block.b + i for block in blocks for i in range(block.size)}


def _most_similar_part(written: str, sentence: str, size: int) -> int:
    """Where the part of ``size`` letters begins that shares the most four-letter sequences with the
    sentence."""
    known = {sentence[at : at + 4] for at in range(len(sentence) - 3)}
    shared = (written[at : at + 4] in known for at in range(len(written)))
    sums = list(itertools.accumulate(shared, initial=0))
    begins = range(max(1, len(written) - size + 1))
    return max(begins, key=lambda at: sums[min(at + size, len(written))] - sums[at])


def whole_copies(written: str, tokens: Sequence[str]) -> list[tuple[int, int]]:
    """Where a text without white space contains the whole sentence, in any equivalent code points."""
    pieces = list(map(folded, written))
    offsets = list(itertools.accumulate(map(len, pieces), initial=0))
    text, sentence = "".join(pieces), _Letters(tokens, folded).text
    matches = re.finditer(re.escape(sentence), text) if sentence else ()
    # Format characters, which `folded` removes, belong to the letter before them.
    return [tuple(bisect.bisect_right(offsets, at) - 1 for at in match.span()) for match in matches]
