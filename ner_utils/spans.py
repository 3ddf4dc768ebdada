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
# (Ramshaw and Marcus 1995, aclanthology.org/W95-0107); BIOES marks last tokens and single ones, too, and
# BILOU (Ratinov and Roth 2009, aclanthology.org/W09-1119) and BMES are BIOES by other letters.
SCHEMES = {"iob2": "BI", "iob1": "BI", "bioes": "BIES", "bilou": "BILU", "bmes": "BMES"}
PLAIN = ("iob2", "iob1", "bioes")  # those that the functions here tell apart
_IN_BIOES = {"L": "E", "U": "S", "M": "I"}
UNTYPED = "mention"  # the type of tags that name none


def plain(scheme: str) -> str:
    """The scheme whose letters `plain_tag` gives to tags of this one."""
    return scheme if scheme in PLAIN else "bioes"


def plain_tag(tag: str, letters: str = "BIESLUM", untyped: str = UNTYPED) -> str:
    """A tag as a file has it (``L-PER``, or ``B`` without a type) in the form that all functions here read
    (``E-PER``, ``B-mention``). Raises `ValueError` on what is neither O nor one of ``letters`` with a type
    or alone."""
    if tag == "O":
        return tag
    letter, dash, kind = tag.partition("-")
    if len(letter) != 1 or letter not in letters or (dash and not kind.strip()):
        raise ValueError(f"expected O, or one of {', '.join(letters)} with a dash and a type")
    return f"{_IN_BIOES.get(letter, letter)}-{kind or untyped}"


def plain_tags(types: Sequence[str], scheme: str) -> dict[str, str]:
    """The tags that files of a corpus may hold, each with its `plain_tag`; a tag needs no type where there is
    one type alone."""
    tags = tag_names(types, scheme) + (list(SCHEMES[scheme]) if len(types) == 1 else [])
    return {tag: plain_tag(tag, SCHEMES[scheme], types[0]) for tag in tags}


def tag_names(types: Iterable[str], scheme: str = "iob2") -> list[str]:
    """All tags of a scheme: O, then those of each type."""
    return ["O", *(f"{prefix}-{kind}" for kind in types for prefix in SCHEMES[scheme])]


def spans_from_tags(tags: Sequence[str], scheme: str = "iob2") -> tuple[list[Span], int]:
    """Spans of a sequence of tags, and how many of these had to be repaired.

    The scheme is one of `PLAIN`; `plain_tag` translates others. The repair policy is conlleval's: a tag that
    continues a mention where none of its type can go on opens one, and a mention ends where nothing continues
    it. Repaired are the tags that the scheme would have written otherwise.
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
    """Tags of sorted, non-overlapping spans over ``length`` tokens, in a scheme of `PLAIN`."""
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
