"""Spans: the only place that knows tags and their schemes."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Span(NamedTuple):
    """A mention: token indices, ``end`` exclusive, and its entity type."""

    start: int
    end: int
    type: str


# Prefixes of the tags of a scheme. IOB1 writes B- only where a mention of the same type ends just before
# (Ramshaw and Marcus 1995, aclanthology.org/W95-0107); BIOES marks last tokens and single ones, too.
SCHEMES = {"iob2": "BI", "iob1": "BI", "bioes": "BIES"}


def tag_names(types: Iterable[str], scheme: str = "iob2") -> list[str]:
    """All tags of a scheme: O, then those of each type."""
    return ["O", *(f"{prefix}-{kind}" for kind in types for prefix in SCHEMES[scheme])]


def spans_from_tags(tags: Sequence[str], scheme: str = "iob2") -> tuple[list[Span], int]:
    """Spans of a sequence of tags, and how many of these had to be repaired.

    The repair policy is conlleval's: a tag that continues a mention where none of its type can go on
    opens one, and a mention ends where nothing continues it. Repaired are the tags that the scheme
    would have written otherwise.
    """
    spans: list[Span] = []
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
    """Tags of sorted, non-overlapping spans over ``length`` tokens."""
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
