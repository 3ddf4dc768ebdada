"""What is stored of a run's scores besides those of the one scorer: what discarding would have made of it."""

from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import f1_score
from seqeval.scheme import IOB2

from ner_utils import config
from ner_utils.data.corpus import Sentence
from ner_utils.data.predictions import Prediction
from ner_utils.data.spans import spans_from_tags
from ner_utils.results import evaluation

tag = st.sampled_from(["O", "O", "B-PER", "I-PER", "B-LOC", "I-LOC"])
corpora = st.lists(st.lists(st.tuples(tag, tag), min_size=1, max_size=8), min_size=1, max_size=5)


@given(corpora)
def test_discarded_is_what_seqeval_calls_strict(corpus):
    """Gold is well-formed, predictions need not be: without the spans that an I- opens."""
    run = config.load_run("vote", "demo", "minilm", 1)
    gold, said, tags = [], [], ([], [])
    for at, pairs in enumerate(corpus):
        right = [("B" + a[1:] if a != "O" else a) for a, _ in pairs]
        found = [b for _, b in pairs]
        spans = spans_from_tags(found)[0]
        repaired = tuple(k for k, span in enumerate(spans) if found[span.start][0] == "I")
        gold.append(Sentence(f"s{at}", None, ("x",) * len(pairs), tuple(spans_from_tags(right)[0])))
        said.append(Prediction(f"s{at}", tuple(spans), repaired=repaired))
        tags[0].append(right)
        tags[1].append(found)
    metrics = evaluation.evaluate(run, gold, said)[0]
    assert metrics["repair"]["spans"] == sum(len(each.repaired) for each in said)
    strict = f1_score(*tags, mode="strict", scheme=IOB2, zero_division=0)
    assert abs(metrics["repair"]["discarded"]["f1"] - strict) < 1e-9


def test_what_writes_repairs_no_tags():
    run = config.load_run("vote", "demo", "minilm", 1)
    assert "repair" not in evaluation.evaluate(run, [Sentence("s", None, ("x",), ())], [Prediction("s", ())])
