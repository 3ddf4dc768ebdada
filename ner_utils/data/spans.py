"""Spans of tokens, and their conversion from and to tags."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Span(NamedTuple):
    """A mention: token indices, ``end`` exclusive, and its entity type."""

    start: int
    end: int
    type: str


def spans_from_tags(tags: Sequence[str], scheme: str = "iob2") -> tuple[list[Span], int]:
    """Spans of a sequence of tags, and the number of repaired tags.

    ``scheme`` is one of `dataset.PLAIN`; `dataset.plain_tag` translates tags of other schemes.
    Ill-formed tags are repaired as conlleval does: a tag that continues a mention begins one if the token
    before has none of its type, and a mention ends if no tag continues it. The number counts the tags that
    differ from those of the repaired spans.
    """
    spans: list[Span] = []
    if tags.count("O") == len(tags):
        return spans, 0
    for index, tag in enumerate(tags):
        if tag == "O":
            continue
        prefix, _, kind = tag.partition("-")
        continues = bool(spans) and spans[-1].end == index and spans[-1].type == kind
        continues = continues and tags[index - 1][0] not in "ES"
        if prefix in "IE" and continues:
            spans[-1] = Span(spans[-1].start, index + 1, kind)
        else:
            spans.append(Span(index, index + 1, kind))
    return spans, sum(map(operator.ne, tags, tags_from_spans(spans, len(tags), scheme)))


def tags_from_spans(spans: Iterable[Span], length: int, scheme: str = "iob2") -> list[str]:
    """Tags of sorted spans over ``length`` tokens, in a scheme of `dataset.PLAIN`.

    Raises `ValueError` for spans that overlap or are outside of the sentence.
    """
    tags = ["O"] * length
    for start, end, kind in spans:
        if not 0 <= start < end <= length:
            raise ValueError(f"span {start}:{end} does not fit a sentence of {length} tokens")
        if any(tag != "O" for tag in tags[start:end]):
            raise ValueError(f"span {start}:{end} overlaps another span")
        tags[start:end] = [f"I-{kind}"] * (end - start)
        if scheme == "bioes":
            tags[end - 1] = f"E-{kind}"
            tags[start] = f"B-{kind}" if end - start > 1 else f"S-{kind}"
        elif scheme == "iob2" or (start and tags[start - 1] in (f"B-{kind}", f"I-{kind}")):
            tags[start] = f"B-{kind}"
    return tags


def without_overlaps(ranked: Iterable[Span]) -> tuple[Span, ...]:
    """Of spans, the best first, those that overlap with no better one that is kept; sorted."""
    kept: list[Span] = []
    for span in ranked:
        if all(span.end <= other.start or other.end <= span.start for other in kept):
            kept.append(span)
    return tuple(sorted(kept))


def times_in(tokens: Sequence[str], span: Span) -> int:
    """How often the tokens of a mention occur in its sentence, also overlapping."""
    length, mention = span.end - span.start, tokens[span.start : span.end]
    return sum(tokens[at : at + length] == mention for at in range(len(tokens) - length + 1))


def surface(tokens: Sequence[str], span: Span) -> str:
    """A mention's tokens, joined by spaces."""
    return " ".join(tokens[span.start : span.end])
