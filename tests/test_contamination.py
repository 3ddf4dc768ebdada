"""The probe: it finds what a model knows by heart, and counts words as a reader would."""

import pytest

from ner_utils import contamination
from ner_utils.data import Sentence
from ner_utils.spans import Span


@pytest.mark.parametrize(
    ("completion", "number"),
    [
        (" met Bo in", 2),
        ("met Bo , and", 3),
        ("met Bo, and", 3),  # white space is no word
        (" met Bob", 2),
        ("Met Bo", 0),
        ("", 0),
    ],
)
def test_words_are_counted_from_the_beginning(completion, number):
    assert contamination.repeated(completion, ["met", "Bo", ",", "once"]) == number


def test_counterparts_begin_otherwise(demo):
    """Where there is another name, and the second halves of both are probed."""
    asked = contamination.sets(demo)
    assert 20 < len(asked["test"]) == len(asked["counterparts"]) <= contamination.PROBED
    pairs = list(zip(asked["test"], asked["counterparts"], strict=True))
    begin = [contamination.halves(a)[0] != contamination.halves(b)[0] for a, b in pairs]
    assert sum(begin) > 0.8 * len(pairs)
    assert all(len(sentence.tokens) >= contamination.LEAST for sentence in asked["test"])


def test_gap_is_paired():
    found = contamination.gap([3, 0, 5, 2] * 20, [2, 0, 4, 1] * 20, 500)
    assert found["words"] == 0.75
    assert 0.6 < found["low"] < 0.75 < found["high"] < 0.9


def probe(run, sentences):
    return contamination.probe(run, {"some": sentences})["some"]


def test_memory_is_found(make_tiny_llama, make_run, tmp_path):
    """A model that was trained on sentences as they stand completes them, and not their counterparts."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    words = ["stone", "river", "cloud", "paper", "window", "garden", "silver", "copper"]
    known = [
        Sentence(
            f"s{k}", None, tuple(words[(k * 3 + j * (k + 1)) % 8] for j in range(10)), (Span(0, 1, "A"),)
        )
        for k in range(4)
    ]
    folder = make_tiny_llama()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [
        tokenizer((tokenizer.bos_token or "") + s.text, add_special_tokens=False)["input_ids"] for s in known
    ]
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(150):
        optimiser.zero_grad()
        for row in rows:
            ids = torch.tensor([row])
            model(input_ids=ids, labels=ids).loss.backward()
        optimiser.step()
    model.save_pretrained(tmp_path / "knows")
    tokenizer.save_pretrained(tmp_path / "knows")
    run = make_run("knows", {"quantisation": None}, weights_folder=tmp_path / "knows")
    assert min(probe(run, known)) == 5
    others = [Sentence(s.id, None, ("zebra", "lion", *s.tokens[2:]), s.spans) for s in known]
    assert sum(probe(run, others)) < 20
    fresh = make_run("fresh", {"quantisation": None}, weights_folder=folder)
    assert sum(probe(fresh, known)) == 0


def test_told_in_the_thesis(made_up):
    results = made_up()
    assert contamination.write(results) == ["tab_contamination"]
    found = contamination.numbers(results)
    assert found["demo", "contamination", "gap_low"] <= found["demo", "contamination", "gap_high"]
    assert "no system" in contamination.tab_contamination({"Demo": {}}).lower()
