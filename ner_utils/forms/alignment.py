"""Where the mentions that a text states are in a sentence: the only place that maps text to tokens."""

from __future__ import annotations

import bisect
import itertools
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from ner_utils.data.spans import Span

# Letters of an answer that are compared with a sentence's, or four times the sentence's number where that is
# more: the time grows with the product.
LETTERS_COMPARED = 1000


class Alignment(NamedTuple):
    """Mentions as spans, and what could not be placed."""

    spans: list[Span]
    origins: list[int]  # which of the mentions each span is
    ungrounded: int  # the surface is not in the sentence
    duplicate: int  # it is, but every occurrence is taken
    copied: float = 1.0  # share of the sentence's letters that a copy of it holds


class _CodePoints(dict):
    """A table for `str.translate`: the ASCII characters that stand for the others of their kind."""

    def __missing__(self, code: int) -> str | int | None:
        kind = unicodedata.category(chr(code))
        ignored = kind == "Cf" or 0xFE00 <= code <= 0xFE0F  # format characters and variation selectors
        self[code] = None if ignored else "-" if kind == "Pd" else code
        return self[code]


_CODE_POINTS = _CodePoints(dict.fromkeys(map(ord, "‘’‚‛`´ʼ′"), "'") | dict.fromkeys(map(ord, '“”„‟″"'), "''"))


class _Letters(NamedTuple):
    """A sentence without its white space, and the offsets where its tokens begin and end."""

    text: str
    begins: dict[int, int]
    ends: dict[int, int]

    @classmethod
    def of(cls, tokens: Sequence[str], spell: Callable[[str], str]) -> _Letters:
        """``spell`` says what counts of a token. A token of which nothing counts begins and ends nothing."""
        begins, ends, text = {}, {}, ""
        for index, token in enumerate(tokens):
            if letters := spell(token):
                begins[len(text)] = index
                text += letters
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

    def place(self, at: Mapping[int, int], begin: int, end: int) -> list[tuple[int, int]]:
        """Tokens of a piece of a copy, ``at`` being where the copy's letters stand in the sentence."""
        first = at.get(begin, -1)
        if begin == end or any(at.get(begin + i) != first + i for i in range(end - begin)):
            return []
        start, stop = self.begins.get(first), self.ends.get(first + end - begin)
        return [(start, stop)] if start is not None and stop is not None else []


def bare(text: str) -> str:
    """A text without its white space, which does not matter: ``Norway's`` is ``Norway 's``."""
    return "".join(text.split())


def folded(text: str) -> str:
    """A bare text in which other code points of the same letters are one: decomposed (Unicode's NFKD, which
    is NFC for comparisons, and knows full-width letters), without format characters, and with one kind of
    quotes and dashes. It is decomposed rather than composed, because an accent may be a token of its own."""
    plain = unicodedata.normalize("NFKD", text.translate(_CODE_POINTS))
    return bare(plain.translate(_CODE_POINTS))


def copies(written: str, tokens: Sequence[str]) -> list[tuple[int, int]]:
    """Where a text without white space holds a whole sentence, begins and ends, whatever the code points."""
    pieces = list(map(folded, written))
    offsets = list(itertools.accumulate(map(len, pieces), initial=0))
    text, sentence = "".join(pieces), _Letters.of(tokens, folded).text
    found = [match.start() for match in re.finditer(re.escape(sentence), text)] if sentence else []
    # Format characters, which count for nothing, belong to the letter before them.
    return [
        (bisect.bisect_right(offsets, at) - 1, bisect.bisect_right(offsets, at + len(sentence)) - 1)
        for at in found
    ]


def occurrences(mention: str, tokens: Sequence[str]) -> list[tuple[int, int]]:
    """All places of a surface, left to right, as token indices, ``end`` exclusive."""
    return list(_Letters.of(tokens, bare).places(bare(mention)))


def repeated(tokens: Sequence[str], longest: int) -> Iterator[tuple[str, int]]:
    """Texts of up to ``longest`` tokens that stand more than once in a sentence, and how often."""
    letters, seen = _Letters.of(tokens, bare), set()
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
    overlaps no span placed before. Occurrences in other code points (`folded`) come after the exact ones.
    """
    letters, loose, placed = _Letters.of(tokens, bare), _Letters.of(tokens, folded), _Placed(len(tokens))
    for mention, kind, number in mentions:
        exact, alike = list(letters.places(bare(mention))), list(loose.places(folded(mention)))
        if number is None:
            placed.add([*exact, *alike], kind)
        else:
            placed.add(exact[number - 1 :][:1] or alike[number - 1 :][:1], kind)
    return placed.alignment()


def transfer(written: str, mentions: Iterable[tuple[int, int, str]], tokens: Sequence[str]) -> Alignment:
    """Place mentions (begin, end, type; offsets in ``written``) of a copy of the sentence without its white
    space, which may differ from it: a mention is where all its letters are, side by side, in the sentence,
    or failing that, where they are in other code points (`folded`)."""
    placed, mentions = _Placed(len(tokens)), list(mentions)
    exact = _Copy(written, [mention[:2] for mention in mentions], tokens, bare)
    places, copied = exact.places, exact.copied
    if copied < 1 or not all(places):
        loose = _Copy(written, [mention[:2] for mention in mentions], tokens, folded)
        places = [first or second for first, second in zip(places, loose.places, strict=True)]
        copied = max(copied, loose.copied)
    for found, (_, _, kind) in zip(places, mentions, strict=True):
        placed.add(found, kind)
    return placed.alignment()._replace(copied=copied)


class _Copy:
    """A copy of a sentence beside the sentence: where its pieces (begin, end) stand, each a list of one place
    or none, and the share of the sentence's letters that it holds; ``spell`` says what counts of a text."""

    def __init__(
        self,
        written: str,
        pieces: Sequence[tuple[int, int]],
        tokens: Sequence[str],
        spell: Callable[[str], str],
    ) -> None:
        letters = _Letters.of(tokens, spell)
        cuts = sorted({0, len(written), *itertools.chain.from_iterable(pieces)})
        parts = [spell(written[begin:end]) for begin, end in itertools.pairwise(cuts)]
        moved = dict(zip(cuts, itertools.accumulate(map(len, parts), initial=0), strict=True))
        at = _matches("".join(parts), letters.text)
        self.copied = len(at) / max(1, len(letters.text))
        self.places = [letters.place(at, moved[begin], moved[end]) for begin, end in pieces]


def _matches(written: str, letters: str) -> dict[int, int]:
    """Where letters of a copy stand in the sentence."""
    if written == letters:
        return {at: at for at in range(len(written))}
    first = _likeliest(written, letters)
    part = written[first : first + max(LETTERS_COMPARED, 4 * len(letters))]
    blocks = SequenceMatcher(None, part, letters, autojunk=False).get_matching_blocks()
    return {first + block.a + i: block.b + i for block in blocks for i in range(block.size)}


def _likeliest(written: str, letters: str) -> int:
    """Where that many letters begin that share most runs of four with the sentence."""
    runs = {letters[at : at + 4] for at in range(len(letters) - 3)}
    shared = (written[at : at + 4] in runs for at in range(len(written)))
    sums, size = list(itertools.accumulate(shared, initial=0)), max(LETTERS_COMPARED, 4 * len(letters))
    return max(
        range(max(1, len(written) - size + 1)), key=lambda at: sums[min(at + size, len(written))] - sums[at]
    )


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
