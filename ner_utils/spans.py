"""Spans: the only place that knows BIO tags."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Span(NamedTuple):
    """A mention: token indices, ``end`` exclusive, and its entity type."""

    start: int
    end: int
    type: str


def spans_from_tags(tags: Sequence[str]) -> tuple[list[Span], int]:
    """Spans of a BIO sequence, and how many tags had to be repaired.

    The repair policy is conlleval's: an ``I-`` whose predecessor is ``O`` or of another type opens
    a mention, as ``B-`` would.
    """
    spans: list[Span] = []
    repaired = 0
    for index, tag in enumerate(tags):
        if tag == "O":
            continue
        prefix, _, kind = tag.partition("-")
        continues = bool(spans) and spans[-1].end == index and spans[-1].type == kind
        if prefix == "I" and continues:
            spans[-1] = Span(spans[-1].start, index + 1, kind)
        else:
            repaired += prefix == "I"
            spans.append(Span(index, index + 1, kind))
    return spans, repaired


def tags_from_spans(spans: Iterable[Span], length: int) -> list[str]:
    """BIO tags of non-overlapping spans over ``length`` tokens."""
    tags = ["O"] * length
    for start, end, kind in spans:
        if not 0 <= start < end <= length:
            raise ValueError(f"span {start}:{end} does not fit a sentence of {length} tokens")
        if any(tag != "O" for tag in tags[start:end]):
            raise ValueError(f"span {start}:{end} overlaps another span")
        tags[start:end] = [f"B-{kind}", *[f"I-{kind}"] * (end - start - 1)]
    return tags


def surface(tokens: Sequence[str], span: Span) -> str:
    """A mention's tokens, joined by spaces."""
    return " ".join(tokens[span.start : span.end])
