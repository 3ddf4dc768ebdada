"""Standoff annotation: mentions with offsets in a document, converted to sentences with spans of tokens."""

from __future__ import annotations

import itertools
import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ner_utils.config.dataset import Dataset
from ner_utils.data.formats.lines import SURROGATE, DataError, unknown
from ner_utils.data.sentence import Sentence
from ner_utils.data.spans import Span
from ner_utils.messages import brief, one_line

# Changes to mentions that spans of a sentence cannot represent as annotated.
CHANGES = (
    "overlapping_mentions",  # dropped, because it shares a token with a longer one or an earlier equal one
    "discontinuous_mentions",  # the annotation covers its parts and the text between them, and is kept so
    "split_mentions",  # it crosses the end of a sentence, so the two sentences were joined
    "widened_mentions",  # it begins or ends inside a token, and now covers the whole token
)
# Scripts without spaces between words: Han with kana and bopomofo, Thai and Lao, Myanmar, Khmer.
_UNSPACED = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3041-\u312f\u31a0-\u31bf\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U0001aff0-\U0001b16f\U00020000-\U0003ffff"
    "\u0e01-\u0eff\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f\u1780-\u17ff\u19e0-\u19ff"
)
# Vowel signs, accents, tone marks and variation selectors, which belong to the character before them.
_MARKS = "\U000e0100-\U000e01ef" + "".join(
    char for char in map(chr, range(0x20000)) if unicodedata.category(char) in ("Mn", "Mc")
)
# A token is a character of such a script with its marks, a word or number with its marks, joiners and soft
# hyphens, or any other single character that is no white space.
_TOKEN = re.compile(
    rf"[{_UNSPACED}][{_MARKS}]*|[^\W{_UNSPACED}]+(?:[{_MARKS}\u200c\u200d\xad]+[^\W{_UNSPACED}]*)*|[^\w\s]"
)
# A sentence ends at a full stop before white space, unless a lower-case letter follows; full stops of Chinese
# and Japanese need no white space. On BC5CDR and NCBI Disease (the sentences of train and dev, joined), this
# rule has an F1 of 99.0 and 97.8, and the library sentencex has 98.5 and 98.2.
_END = re.compile(
    r"""[.!?]["')\]]*\s+(?=["'(\[]*[^\W_a-z])|[\u3002\uff61\uff01\uff1f]+["'\u201d\u2019\u300d\u300f\uff09)\]]*\s*"""
)
_OFFSET = re.compile(r"[0-9]{1,9}")


class Row(NamedTuple):
    """A mention as a file states it, on a line or at a place in words. ``discontinuous``: its parts are not
    adjacent."""

    line: int | str
    start: str
    end: str
    text: str
    type: str
    discontinuous: bool = False


def row_of(line: int | str, parts: list[tuple[int, int]], stated: str | None, kind: str, text: str) -> Row:
    """A mention of parts of a text and what is between them, whose stated text must be that of the parts."""
    in_order = sorted(set(parts))
    start, end = in_order[0][0], max(last for _, last in in_order)
    joined = (" ".join(text[first:last] for first, last in each) for each in (parts, in_order))
    if stated is None or _normal(stated) in map(_normal, joined):
        stated = text[start:end]
    return Row(line, str(start), str(end), stated, kind, len(in_order) > 1)


class Mention(NamedTuple):
    """Characters of a document, ``end`` exclusive, and their type."""

    start: int
    end: int
    type: str
    line: int | str
    discontinuous: bool

    def __str__(self) -> str:
        place = f"line {self.line}" if isinstance(self.line, int) else self.line
        return f"{self.start}:{self.end} ({place})"  # without the text, which may be private


def split_tokens(text: str) -> list[str]:
    """The tokens of a plain text, by the rule that texts with offsets get."""
    return _TOKEN.findall(text)


def read_document(
    dataset: Dataset,
    flaws: list[str],
    path: Path,
    document: str,
    passages: Sequence[str],
    rows: Sequence[Row],
) -> Iterator[Sentence]:
    """The sentences of a document. Offsets count characters of its passages, joined by one character.

    Flaws are a lone surrogate, and a mention whose text is not at its offsets. Raises `DataError` for unknown
    types and, unless ``overlaps: longest`` is declared, for overlapping mentions.
    """
    whole, mentions = " ".join(passages), []
    if SURROGATE.search(whole + document):
        flaws.append(f"{path}: {document_name(document, dataset)}: a lone surrogate, which is no character")
        return
    for line, start, end, text, kind, discontinuous in rows:
        where = f"{path}:{line}"
        if kind not in dataset.types:
            raise unknown(where, "type", kind, dataset)
        are_numbers = _OFFSET.fullmatch(start) and _OFFSET.fullmatch(end)
        covered = whole[int(start) : int(end)] if are_numbers else None
        if covered is None or _normal(covered) != _normal(text):
            texts = f": {brief(text)}, found {brief(covered)} at {short(start)}:{short(end)}"
            texts = "" if dataset.private else texts
            flaws.append(f"{where}: the text of the mention is not at its offsets{texts}")
            continue
        mention = Mention(int(start), int(end), kind, line, discontinuous)
        if covered.strip():
            mentions.append(mention)
        else:
            name = document_name(document, dataset)
            flaws.append(f"{where}: {name}: mention {mention} holds no token")
    try:
        yield from _sentences(document, passages, mentions, dataset)
    except ValueError as error:
        raise DataError(f"{path}: {document_name(document, dataset)}: {error}") from None


def _sentences(
    document: str, passages: Sequence[str], mentions: Sequence[Mention], dataset: Dataset
) -> Iterator[Sentence]:
    """Split a document into sentences of at least one token, unless the corpus keeps texts whole. Raises
    `ValueError` for overlapping mentions if the corpus refuses them, or else keeps the longest one, the first
    of equals."""
    tokens = list(_TOKEN.finditer(" ".join(passages)))
    begins, ends = [token.start() for token in tokens], [token.end() for token in tokens]
    changes: list[tuple[int, str]] = []  # the token at which the mention begins, and what was changed
    mention_at: dict[int, Mention] = {}
    spans: list[Span] = []
    for mention in sorted(mentions, key=lambda mention: (mention.start - mention.end, mention.start)):
        start, end = bisect_right(ends, mention.start), bisect_left(begins, mention.end)
        covered = range(start, end)
        if other := next((mention_at[token] for token in covered if token in mention_at), None):
            if dataset.overlaps == "refuse":
                raise ValueError(
                    f"mentions {other} and {mention} overlap; declare `overlaps: longest` to keep the longest"
                )
            changes.append((start, "overlapping_mentions"))
            continue
        mention_at |= dict.fromkeys(covered, mention)
        spans.append(Span(start, end, mention.type))
        if mention.discontinuous:
            changes.append((start, "discontinuous_mentions"))
        if (begins[start], ends[end - 1]) != (mention.start, mention.end):
            changes.append((start, "widened_mentions"))
    spans.sort()
    borders = {bisect_left(begins, border) for border in _borders(passages, dataset.sentences == "split")}
    for span in spans:
        if inside := borders.intersection(range(span.start + 1, span.end)):
            borders -= inside
            changes.append((span.start, "split_mentions"))
    for start, end in itertools.pairwise(sorted(borders | {0, len(tokens)})):
        yield Sentence(
            "",
            document,
            tuple(token[0] for token in tokens[start:end]),
            tuple(Span(s - start, e - start, kind) for s, e, kind in spans if start <= s < end),
            offsets=tuple(begins[start:end]),
            treated=tuple(change for token, change in changes if start <= token < end),
        )


def _borders(passages: Sequence[str], split: bool) -> Iterator[int]:
    """Offsets at which sentences begin; of passages that are not ``split``, those of the passages."""
    at = 0
    for passage in passages:
        yield at
        if split:
            yield from (at + border.end() for border in _END.finditer(passage))
        at += len(passage) + 1


def document_name(document: str, dataset: Dataset) -> str:
    """How messages name a document; without its id if the corpus is private, because an id can lead to a
    text."""
    return "a document" if dataset.private else f"document {short(document)}"


def short(text: str) -> str:
    """A cell of a file in a message, on one line."""
    return one_line(text, 80)


def _normal(text: str) -> str:
    """Text for comparison: equivalent code points and other white space make no difference."""
    return " ".join(unicodedata.normalize("NFKC", text).split())
