"""What would other papers print? Scores of the same predictions by their rules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ner_utils import scoring
from ner_utils.data.corpus import Sentence
from ner_utils.data.spans import Span, surface
from ner_utils.scoring.scorer import Score


def first_match(spans: Iterable[Span], tokens: Sequence[str]) -> set[Span]:
    """Each mention moved to the first place of its words in the sentence; equal mentions are then one.

    Studies that store mentions as strings and search for them do this: a second mention of the same name is
    lost from gold and prediction alike, and a right answer at the wrong place is right.
    """
    moved = set()
    for start, end, kind in spans:
        words = tuple(tokens[start:end])
        first = next(at for at in range(start + 1) if tuple(tokens[at : at + len(words)]) == words)
        moved.add(Span(first, first + len(words), kind))
    return moved


def scores(gold: Sequence[Sentence], predicted: Sequence[Iterable[Span]]) -> dict[str, Score]:
    """Micro scores by the rules of others.

    ``first_match`` is the rule of paper A's earlier code. ``string_set`` compares, sentence by sentence, sets
    of pairs of a mention's text, in lower case, and its type, as many evaluations of LLMs do. ``surfaces`` is
    WNUT-17's second score (Derczynski et al. 2017, W17-4418): the distinct pairs of text, with case, and type
    of the predicted mentions that are right in place, over all distinct pairs of gold and of the prediction.
    """
    placed, strings = ([], []), ([], [])
    of_gold, of_predicted, right = set(), set(), set()
    for sentence, spans in zip(gold, predicted, strict=True):
        sides = set(sentence.spans), set(spans)
        for at, side in enumerate(sides):
            placed[at].append(first_match(side, sentence.tokens))
            strings[at].append({(text.lower(), kind) for text, kind in _surfaces(side, sentence)})
        of_gold |= _surfaces(sides[0], sentence)
        of_predicted |= _surfaces(sides[1], sentence)
        right |= _surfaces(sides[0] & sides[1], sentence)
    return {
        "first_match": _compare(*placed),
        "string_set": _compare(*strings),
        "surfaces": scoring.prf(len(right), len(of_predicted - right), len(of_gold - right)),
    }


def _surfaces(spans: Iterable[Span], sentence: Sentence) -> set[tuple[str, str]]:
    return {(surface(sentence.tokens, span), span.type) for span in spans}


def _compare(gold: Sequence[set], predicted: Sequence[set]) -> Score:
    pairs = list(zip(gold, predicted, strict=True))
    right = sum(len(a & b) for a, b in pairs)
    return scoring.prf(right, sum(map(len, predicted)) - right, sum(map(len, gold)) - right)
