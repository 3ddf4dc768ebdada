"""Random sentences with gold and predicted mentions, for the tests of buckets and of kinds of errors."""

from hypothesis import strategies as st

from ner_utils.data.corpus import Sentence
from ner_utils.data.predictions import Prediction
from ner_utils.data.spans import spans_from_tags
from ner_utils.scoring import span_table

TYPES = ("A", "B", "C")
tag = st.sampled_from(["O", "O", *(f"{prefix}-{kind}" for prefix in "BI" for kind in TYPES)])
corpora = st.lists(st.lists(st.tuples(tag, tag), min_size=1, max_size=9), min_size=1, max_size=6)


def sides(corpus):
    """Gold sentences of one word each time, and predictions."""
    gold, said = [], []
    for at, sentence in enumerate(corpus):
        spans = [tuple(spans_from_tags([pair[side] for pair in sentence])[0]) for side in (0, 1)]
        words = tuple("x" if word % 3 else "Y" for word in range(len(sentence)))
        gold.append(Sentence(f"s{at}", None, words, spans[0]))
        said.append(Prediction(f"s{at}", spans[1]))
    return gold, said


def tables(gold, said):
    return [span_table.from_spans([row.spans for row in side], TYPES) for side in (gold, said)]
