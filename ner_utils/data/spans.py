"""Spans of tokens, and how tags become spans."""

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
    """Spans of a sequence of tags, and how many of these had to be repaired.

    The scheme is one of `tag_schemes.PLAIN`; `tag_schemes.plain_tag` translates others. The repair policy is
    conlleval's: a tag that continues a mention where none of its type can go on opens one, and a mention ends
    where nothing continues it. Repaired are the tags that the scheme would have written otherwise.
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
    """Tags of sorted, non-overlapping spans over ``length`` tokens, in a scheme of `tag_schemes.PLAIN`."""
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


def surface(tokens: Sequence[str], span: Span) -> str:
    """A mention's tokens, joined by spaces."""
    return " ".join(tokens[span.start : span.end])
