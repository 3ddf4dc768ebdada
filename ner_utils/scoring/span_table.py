"""The spans of a whole corpus as columns of numbers, so that all of it is counted at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from ner_utils.data.spans import Span


class SpanTable(NamedTuple):
    """Spans, a row each, sorted by sentence and start: ``columns`` [spans, 4] holds sentence, start, end
    (exclusive) and type, as an index into ``types``; sentences are 0 to ``sentences`` - 1."""

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
    """From the spans of each sentence; equal spans are one. Raises `ValueError` on a type that
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

    Ill-formed sequences are repaired as `spans.spans_from_tags` does, whatever the scheme: a mention begins
    where none can go on, and ends where nothing continues it. With ``discard`` naming a scheme (iob2, iob1,
    bioes), tags that the scheme would not have written are no mention: seqeval's strict mode. Raises
    `ValueError` on a tag that is neither O nor a prefix of B, I, E, S with a type.

    Each pair of neighbouring tags is judged once, so that a corpus is read four times as fast as by
    `spans_from_tags`.
    """
    parts = {tag: _split(tag) for tag in {"O"}.union(*rows)}
    kinds = {kind for _, kind in parts.values() if kind}
    types = tuple(sorted(kinds) if types is None else types)
    if unknown := kinds - set(types):
        raise ValueError(f"unknown type {min(unknown)!r}; there are: {', '.join(types)}")
    steps: dict[tuple[str, str], tuple[bool, bool, bool]] = {}
    columns = []
    for sentence, tags in enumerate(rows):
        before, start, kind = "O", None, 0
        for at, tag in enumerate((*tags, "O")):
            if tag == before == "O":
                continue
            step = steps.get((before, tag))
            if step is None:
                step = steps[before, tag] = _step(*parts[before], *parts[tag], discard)
            continues, opens, closes = step
            if not continues:
                if start is not None and closes:
                    columns.append((sentence, start, at, kind))
                start = None
            if start is None and opens:
                start, kind = at, types.index(parts[tag][1])
            before = tag
    return SpanTable(np.array(columns, dtype=np.int64).reshape(-1, 4), len(rows), types)


def _step(
    last: str, last_kind: str | None, letter: str, kind: str | None, scheme: str | None
) -> tuple[bool, bool, bool]:
    """Whether a tag continues a mention of the tag before it, may open one, and may follow the end of one."""
    same = kind == last_kind
    continues = letter in "IE" and same and last in "BI"
    if scheme is None:
        return continues, letter != "O", True
    if scheme == "iob2":
        return continues, letter == "B", True
    if scheme == "iob1":
        opens = last in "OB" or not same if letter == "I" else letter == "B" and same and last in "BI"
        return continues, opens, not (letter == "B" and last == "B" and not same)
    if scheme == "bioes":
        return continues, letter in "BS", last in "ES"
    raise ValueError(f"unknown scheme {scheme!r}; there are iob2, iob1 and bioes")


def _split(tag: str) -> tuple[str, str | None]:
    prefix, dash, kind = tag.partition("-")
    if tag == "O":
        return "O", None
    if prefix not in ("B", "I", "E", "S") or not kind:
        raise ValueError(f"not a tag: {tag!r} (expected O, or B-, I-, E- or S- and a type)")
    return prefix, kind


def width(*tables: SpanTable) -> int:
    """More than any end: with so many places for each sentence, all sentences fit on one line."""
    return 1 + max((int(table.columns[:, 2].max()) for table in tables if len(table.columns)), default=0)


def among(spans: SpanTable, others: SpanTable) -> np.ndarray:
    """Which spans ``others`` has too, with the same sentence, boundaries and type; [spans]."""
    places = width(spans, others)

    def numbered(table: SpanTable) -> np.ndarray:
        sentence, start, end, kind = table.columns.T
        return ((sentence * places + start) * places + end) * len(table.types) + kind

    return np.isin(numbered(spans), numbered(others))
