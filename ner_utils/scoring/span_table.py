"""The spans of a whole corpus as columns of numbers: what is counted over all of it is counted at once."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from ner_utils.data.spans import Span


class SpanTable(NamedTuple):
    """Spans, a row each, sorted by sentence and start: ``columns`` [spans, 4] holds sentence, start, end
    (exclusive) and type, the last as a place in ``types``; sentences are 0 to ``sentences`` - 1."""

    columns: np.ndarray
    sentences: int
    types: tuple[str, ...]

    @property
    def sentence(self) -> np.ndarray:
        """[spans]"""
        return self.columns[:, 0]

    @property
    def kind(self) -> np.ndarray:
        """[spans]"""
        return self.columns[:, 3]


def from_spans(rows: Sequence[Iterable[Span]], types: Sequence[str]) -> SpanTable:
    """From the spans of each sentence; a span said twice is one. Raises `ValueError` on a type that
    ``types`` lacks."""
    place = {kind: at for at, kind in enumerate(types)}
    try:
        flat = [(at, start, end, place[kind]) for at, row in enumerate(rows) for start, end, kind in row]
    except KeyError as error:
        raise ValueError(f"unknown type {error.args[0]!r}; there are: {', '.join(types)}") from None
    columns = np.unique(np.array(flat, dtype=np.int64).reshape(-1, 4), axis=0)
    return SpanTable(columns, len(rows), tuple(types))


def from_tags(
    rows: Sequence[Sequence[str]], types: Sequence[str] | None = None, discard: str | None = None
) -> SpanTable:
    """From the tags of each sentence. ``types`` are those that occur, sorted, unless they are given.

    Ill-formed sequences are repaired as `spans.spans_from_tags` does, whatever the scheme: a mention opens
    where none can go on, and ends where nothing continues it. Or, with ``discard`` naming a scheme (iob2,
    iob1, bioes), what the scheme would not have written is no mention: seqeval's strict mode. Raises
    `ValueError` on a tag that is neither O nor a prefix of B, I, E, S with a type.
    """
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    flat = list(itertools.chain.from_iterable(rows))
    names = {tag: at for at, tag in enumerate(dict.fromkeys(flat))}
    parts = [_split(tag) for tag in names]
    found = sorted({kind for _, kind in parts if kind is not None})
    types = tuple(found if types is None else types)
    if unknown := set(found) - set(types):
        raise ValueError(f"unknown type {min(unknown)!r}; there are: {', '.join(types)}")
    begins = np.cumsum(lengths) - lengths
    # All sentences in one line, an O before each and after the last.
    places = np.arange(len(flat)) + np.repeat(np.arange(len(rows)) + 1, lengths)
    code = np.fromiter(map(names.__getitem__, flat), np.int64, len(flat))
    line = np.full(len(flat) + len(rows) + 1, len(names))
    line[places] = code
    letter = np.array([ord(prefix) for prefix, _ in parts] + [ord("O")], np.uint8)[line]
    kind = np.array([-1 if name is None else types.index(name) for _, name in parts] + [-1])[line]
    starts, ends = _mentions(letter, kind, discard)
    sentence = np.searchsorted(begins + np.arange(len(rows)) + 1, starts, side="right") - 1
    offset = begins[sentence] + sentence + 1
    columns = np.stack([sentence, starts - offset, ends - offset, kind[starts]], axis=1)
    return SpanTable(columns, len(rows), types)


def _mentions(letter: np.ndarray, kind: np.ndarray, scheme: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Where mentions start and end in a line of tags that begins and ends with O."""

    def among(letters: str, of: np.ndarray = letter) -> np.ndarray:
        return np.isin(of, [ord(one) for one in letters])

    before = np.concatenate([letter[:1], letter[:-1]])
    same = np.concatenate([[False], kind[1:] == kind[:-1]])
    goes_on = among("IE") & same & among("BI", before)
    opens, closed = letter != ord("O"), np.ones(len(letter), bool)  # closed: before this tag
    if scheme == "iob2":
        opens = among("B")
    elif scheme == "iob1":
        opens = (among("I") & (among("OB", before) | ~same)) | (among("B") & same & among("BI", before))
        closed = ~(among("B") & among("B", before) & ~same)
    elif scheme == "bioes":
        opens, closed = among("BS"), among("ES", before)
    elif scheme is not None:
        raise ValueError(f"unknown scheme {scheme!r}; there are iob2, iob1 and bioes")
    # A tag and those that go on with it; a mention begins at the first that may open one.
    heads = np.flatnonzero(~goes_on)
    openers = np.flatnonzero(opens)
    if not len(openers):
        return openers, openers
    group = np.searchsorted(heads, openers, side="right") - 1
    starts = openers[np.concatenate([[True], group[1:] != group[:-1]])]
    ends = np.append(heads, len(letter))[np.unique(group) + 1]
    return starts[closed[ends]], ends[closed[ends]]


def _split(tag: str) -> tuple[str, str | None]:
    prefix, dash, kind = tag.partition("-")
    if tag == "O":
        return "O", None
    if prefix not in ("B", "I", "E", "S") or not kind:
        raise ValueError(f"not a tag: {tag!r} (expected O, or B-, I-, E- or S- and a type)")
    return prefix, kind


def width(*tables: SpanTable) -> int:
    """More than any end: with so many places a sentence, all sentences can stand in one line."""
    return 1 + max((int(table.columns[:, 2].max()) for table in tables if len(table.columns)), default=0)


def among(spans: SpanTable, others: SpanTable) -> np.ndarray:
    """Which spans stand among ``others`` too, with sentence, boundaries and type; [spans]."""
    places = width(spans, others)

    def numbered(table: SpanTable) -> np.ndarray:
        sentence, start, end, kind = table.columns.T
        return ((sentence * places + start) * places + end) * len(table.types) + kind

    return np.isin(numbered(spans), numbered(others))
