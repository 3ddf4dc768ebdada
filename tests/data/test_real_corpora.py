"""The demo corpus, and real corpora."""

import pytest

from ner_utils import config, paths
from ner_utils.forms.json_list import JsonForm


def test_demo_corpus(demo):
    dataset = config.load_dataset("demo")
    assert {split: len(sentences) for split, sentences in demo.items()} == {
        "train": 640,
        "dev": 160,
        "test": 160,
    }
    for sentences in demo.values():
        assert {span.type for sentence in sentences for span in sentence.spans} == set(dataset.types)
        assert 0.28 <= sum(not sentence.spans for sentence in sentences) / len(sentences) <= 0.38
        assert all(sentence.document for sentence in sentences)
    assert len(dataset.types) == 15 and dataset.licence.startswith("CC0")
    assert "CC0" in (paths.CORPORA / "demo" / "DATASHEET.md").read_text(encoding="utf-8")


def test_splits_of_the_demo_corpus_share_nothing(demo):
    for key in ("id", "document", "tokens"):
        values = [{getattr(sentence, key) for sentence in sentences} for sentences in demo.values()]
        assert sum(map(len, values)) == len(set.union(*values))


@pytest.mark.corpora
@pytest.mark.parametrize("name", ["wnut17", "bc5cdr", "ncbi-disease"])
def test_mentions_of_real_corpora_survive_as_json(corpora, name):
    """Every gold answer is read as ``ok`` with nothing dropped; ids alone are shown on failure."""
    form = JsonForm(config.load_dataset(name).types)
    failed, moved, sentences = [], 0, corpora(name)["test"]
    for sentence in sentences:
        reading = form.read(form.target(sentence), sentence.tokens)
        if reading.status != "ok" or len(reading.spans) != len(sentence.spans):
            failed.append(sentence.id)
        moved += tuple(reading.spans) != sentence.spans
    assert failed == []
    assert moved / len(sentences) < 0.005  # the same text occurs earlier without being a mention
