"""Standoff annotation: mentions as characters of a document, made into sentences of tokens."""

from __future__ import annotations

import itertools
import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ner_utils.data.spans import Span

# What may have to be done with a mention before the spans of a sentence can state it.
TREATED = (
    "overlapping_mentions",  # dropped: a longer one, or the first of two as long, has some of its tokens
    "discontinuous_mentions",  # parts that lie apart are annotated as one stretch, which is kept
    "split_mentions",  # a sentence seemed to end inside, so both sentences were joined
    "widened_mentions",  # a border that is no token's was moved to the border of its token
)
# Scripts that put no spaces between words: Han with kana and bopomofo, Thai and Lao, Myanmar, Khmer.
_UNSPACED = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3041-\u312f\u31a0-\u31bf\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U0001aff0-\U0001b16f\U00020000-\U0003ffff"
    "\u0e01-\u0eff\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f\u1780-\u17ff\u19e0-\u19ff"
)
# Vowel signs and tone marks, which belong to the character before, and variation selectors.
_MARKS = "\ufe00-\ufe0f" + "".join(
    char
    for char in re.findall(f"[{_UNSPACED}]", "".join(map(chr, range(0x10000))))
    if unicodedata.category(char).startswith("M")
)
# Each of their characters is a token; other words and numbers are whole; any other character is a token;
# white space separates.
_TOKEN = re.compile(rf"[{_UNSPACED}][{_MARKS}]*|[^\W{_UNSPACED}]+|[^\w\s]")
# A sentence ends before white space and what is no lower-case letter. On the sentences of BC5CDR and NCBI
# Disease (train and dev, joined again) this has an F1 of 99.0 and 97.8, the library sentencex 98.5 and 98.2.
# The full stops of Chinese and Japanese need no white space.
_END = re.compile(
    r"""[.!?]["')\]]*\s+(?=["'(\[]*[^\W_a-z])|[\u3002\uff61\uff01\uff1f]+["'\u201d\u2019\u300d\u300f\uff09)\]]*\s*"""
)


class Mention(NamedTuple):
    """Characters of a document, ``end`` exclusive, and their type; ``line`` says where it is annotated."""

    start: int
    end: int
    type: str
    line: int
    discontinuous: bool = False

    def __str__(self) -> str:
        """Without its text, which may be private."""
        return f"{self.start}:{self.end} (line {self.line})"


class Piece(NamedTuple):
    """A sentence of a document."""

    tokens: tuple[str, ...]
    spans: tuple[Span, ...]
    offsets: tuple[int, ...]  # where each token begins, in characters of the document
    treated: tuple[str, ...]  # one of `TREATED` for each thing done with a mention that begins here


def text_of(passages: Sequence[str]) -> str:
    """A document's text, to which offsets refer: its passages with one character between them."""
    return " ".join(passages)


def cut(passages: Sequence[str], mentions: Sequence[Mention], overlaps: str) -> list[Piece]:
    """Cut a document into sentences of tokens, with its mentions as spans of tokens; each holds one at least.

    Of mentions that overlap, ``longest`` keeps the longest, the first of equals; ``refuse`` raises
    `ValueError`.
    """
    tokens = list(_TOKEN.finditer(text_of(passages)))
    begins, ends = [token.start() for token in tokens], [token.end() for token in tokens]
    treated: list[tuple[int, str]] = []  # by the token at which the mention begins
    owners: dict[int, Mention] = {}
    spans: list[Span] = []
    for mention in sorted(mentions, key=lambda mention: (mention.start - mention.end, mention.start)):
        start, end = bisect_right(ends, mention.start), bisect_left(begins, mention.end)
        if other := next((owners[token] for token in range(start, end) if token in owners), None):
            if overlaps == "refuse":
                raise ValueError(
                    f"mentions {other} and {mention} overlap; declare `overlaps: longest` to keep the longest"
                )
            treated.append((start, "overlapping_mentions"))
            continue
        owners |= dict.fromkeys(range(start, end), mention)
        spans.append(Span(start, end, mention.type))
        if mention.discontinuous:
            treated.append((start, "discontinuous_mentions"))
        if (begins[start], ends[end - 1]) != (mention.start, mention.end):
            treated.append((start, "widened_mentions"))
    spans.sort()
    borders = {bisect_left(begins, border) for border in _borders(passages)}
    for span in spans:
        if inside := borders.intersection(range(span.start + 1, span.end)):
            borders -= inside
            treated.append((span.start, "split_mentions"))
    return [
        Piece(
            tuple(token[0] for token in tokens[start:end]),
            tuple(Span(s - start, e - start, kind) for s, e, kind in spans if start <= s < end),
            tuple(begins[start:end]),
            tuple(reason for token, reason in treated if start <= token < end),
        )
        for start, end in itertools.pairwise(sorted(borders | {0, len(tokens)}))
    ]


def _borders(passages: Sequence[str]) -> Iterator[int]:
    """Where sentences begin, in characters of the document."""
    at = 0
    for passage in passages:
        yield at
        yield from (at + border.end() for border in _END.finditer(passage))
        at += len(passage) + 1
