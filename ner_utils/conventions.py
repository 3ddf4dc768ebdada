"""What other papers print: the same predictions under their rules, beside the one scorer's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ner_utils.spans import Span


def first_match(spans: Iterable[Span], tokens: Sequence[str]) -> set[Span]:
    """Each mention moved to where its words first stand in the sentence; what then coincides is one.

    So do studies that keep mentions as strings and search for them: a second mention of the same name
    is gone, from gold and prediction alike, and a right answer at the wrong place is right.
    """
    found = set()
    for start, end, kind in spans:
        words = tuple(tokens[start:end])
        first = next(at for at in range(start + 1) if tuple(tokens[at : at + len(words)]) == words)
        found.add(Span(first, first + len(words), kind))
    return found
