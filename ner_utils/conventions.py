"""What other papers print: the same predictions under their rules, beside the one scorer's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ner_utils import scoring
from ner_utils.data import Sentence
from ner_utils.scoring import Score
from ner_utils.spans import Span, surface


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


def scores(gold: Sequence[Sentence], predicted: Sequence[Iterable[Span]]) -> dict[str, Score]:
    """Micro scores by the rules of others.

    ``first_match`` is that of paper A's earlier code. ``string_set`` compares, sentence by sentence, sets of
    pairs of a mention's text, whatever its case, and its type; many who evaluate LLMs do. ``surfaces`` does
    so once for the whole test set, with case: WNUT-17's second score (Derczynski et al. 2017, W17-4418).
    """
    sides = [sentence.spans for sentence in gold], predicted
    found = {}
    placed, strings, surfaces = ([], []), ([], []), ([set()], [set()])
    for at, side in enumerate(sides):
        for sentence, spans in zip(gold, side, strict=True):
            placed[at].append(first_match(spans, sentence.tokens))
            said = {(surface(sentence.tokens, span), span.type) for span in spans}
            strings[at].append({(text.lower(), kind) for text, kind in said})
            surfaces[at][0].update(said)
    for name, pair in (("first_match", placed), ("string_set", strings), ("surfaces", surfaces)):
        found[name] = _compare(*pair)
    return found


def _compare(gold: Sequence[set], predicted: Sequence[set]) -> Score:
    pairs = list(zip(gold, predicted, strict=True))
    right = sum(len(a & b) for a, b in pairs)
    return scoring.prf(right, sum(map(len, predicted)) - right, sum(map(len, gold)) - right)
