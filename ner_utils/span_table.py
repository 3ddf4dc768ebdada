"""The spans of a whole corpus as columns of numbers: what is counted over all of it is counted at once."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from ner_utils.spans import Span


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
    """From the spans of each sentence. Raises `ValueError` on a type that ``types`` lacks."""
    place = {kind: at for at, kind in enumerate(types)}
    try:
        flat = [(at, start, end, place[kind]) for at, row in enumerate(rows) for start, end, kind in row]
    except KeyError as error:
        raise ValueError(f"unknown type {error.args[0]!r}; there are: {', '.join(types)}") from None
    columns = np.array(flat, dtype=np.int64).reshape(-1, 4)
    return SpanTable(columns[np.lexsort(columns.T[::-1])], len(rows), tuple(types))


def from_tags(rows: Sequence[Sequence[str]], types: Sequence[str] | None = None) -> SpanTable:
    """From the tags of each sentence, IOB2, IOB1 or BIOES alike; what `spans.spans_from_tags` reads from
    each. ``types`` are those that occur, sorted, unless they are given.

    Raises `ValueError` on a tag that is neither O nor a prefix of B, I, E, S with a type.
    """
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    flat = list(itertools.chain.from_iterable(rows))
    names = {tag: at for at, tag in enumerate(dict.fromkeys(flat))}
    parts = [_split(tag) for tag in names]
    found = sorted({kind for _, kind in parts if kind is not None})
    types = tuple(found if types is None else types)
    if unknown := set(found) - set(types):
        raise ValueError(f"unknown type {min(unknown)!r}; there are: {', '.join(types)}")
    code = np.fromiter(map(names.__getitem__, flat), np.int64, len(flat))
    kind = np.array([-1 if name is None else types.index(name) for _, name in parts] or [-1])[code]
    prefix = np.array([prefix for prefix, _ in parts] or ["O"])[code]
    first = np.zeros(len(flat), bool)
    begins = np.cumsum(lengths) - lengths
    first[begins[lengths > 0]] = True
    # A tag goes on with a mention where it may (I, E), where one of its type reached the token before, and
    # where that did not end there (E, S).
    before = np.roll(kind, 1), np.roll(prefix, 1)
    on = np.isin(prefix, ["I", "E"]) & ~first & (before[0] == kind) & ~np.isin(before[1], ["E", "S"])
    inside = kind >= 0
    starts = np.flatnonzero(inside & ~on)
    stops = np.append(np.flatnonzero(~inside | ~on), len(flat))  # where whatever came before has ended
    ends = stops[np.searchsorted(stops, starts, side="right")]
    sentence = np.repeat(np.arange(len(rows)), lengths)[starts]
    columns = np.stack([sentence, starts - begins[sentence], ends - begins[sentence], kind[starts]], axis=1)
    return SpanTable(columns, len(rows), types)


def _split(tag: str) -> tuple[str, str | None]:
    prefix, dash, kind = tag.partition("-")
    if tag == "O":
        return "O", None
    if prefix not in ("B", "I", "E", "S") or not kind:
        raise ValueError(f"not a tag: {tag!r} (expected O, or B-, I-, E- or S- and a type)")
    return prefix, kind


def keys(table: SpanTable, width: int, typed: bool = True) -> np.ndarray:
    """A number for each span, equal where sentence, start, end and (``typed``) type are; [spans].
    ``width`` is more than any end."""
    sentence, start, end, kind = table.columns.T
    place = (sentence * width + start) * width + end
    return place * len(table.types) + kind if typed else place
