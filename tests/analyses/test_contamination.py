"""The probe: it finds what a model knows by heart, and counts words as a reader would."""

import pytest
from conftest import show

from ner_utils.analyses import contamination
from ner_utils.data.corpus import Sentence
from ner_utils.data.spans import Span


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


def test_pairs_without_a_counterpart_are_left_out():
    """The only place of a corpus cannot be exchanged, and a name in the second half alone is not enough."""
    words = ("in", "{}", "it", "rained", "all", "day", "and", "{}", "got", "wet", "there", "again")
    names = [("Bonn", "Ada"), ("Bonn", "Bo Li"), ("Cy", "Dee"), ("Eve", "Fay"), ("Bonn", "Gil")]

    def sentence(at, place, person):
        tokens = " ".join(words).format(place, person).split()
        at_person, kind = tokens.index(person.split()[0]), "LOC" if place == "Bonn" else "PER"
        spans = (Span(1, 2, kind), Span(at_person, at_person + len(person.split()), "PER"))
        return Sentence(f"s{at}", None, tuple(tokens), spans)

    corpus = {"test": [sentence(at, *each) for at, each in enumerate(names)], "train": []}
    asked = contamination.sets(corpus)
    assert len(contamination.draw(corpus)) == 5
    assert sorted(each.id for each in asked["test"]) == ["s2", "s3"]
    assert [each.id for each in asked["test"]] == [each.id for each in asked["counterparts"]]
    for one, other in zip(asked["test"], asked["counterparts"], strict=True):
        assert one.tokens[1] != other.tokens[1]


def test_the_number_left_out_is_stated():
    sets = {name: contamination.summary([1, 0, 2]) for name in contamination.SETS}
    models = {"A model": sets | {"gap": contamination.gap([1, 0, 2], [0, 0, 3])}}
    text = contamination.tab_contamination({"Demo": {"models": models, "left_out": 7}})
    assert "The same, with other names (7 sentences without others left out)" in text
    assert "left out" not in contamination.tab_contamination({"Demo": {"models": models, "left_out": 0}})


@pytest.mark.parametrize("more", [0, 2])
def test_equal_differences_have_no_interval(more):
    """A bootstrap would repeat them: 0.00 (0.00 to 0.00)."""
    found = contamination.gap([3 + more, more, 1 + more], [3, 0, 1])
    assert found == {"words": more, "low": None, "high": None}
    sets = {name: contamination.summary([1]) for name in contamination.SETS}
    report = {"models": {"A model": sets | {"gap": found}}}
    assert f"{more}.00 (--)" in contamination.tab_contamination({"Demo": report})


def test_gap_is_paired():
    found = contamination.gap([3, 0, 5, 2] * 20, [2, 0, 4, 1] * 20, 500)
    assert found["words"] == 0.75
    assert 0.6 < found["low"] < 0.75 < found["high"] < 0.9


@pytest.mark.slow
def test_memory_is_found(make_tiny_llama, make_run, tmp_path):
    """A model that was trained on sentences as they stand completes them, and not their counterparts."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    words = ["stone", "river", "cloud", "paper", "window", "garden", "silver", "copper"]
    orders = ([3 * k + j * (k + 1) for j in range(10)] for k in range(2))
    known = [
        Sentence(f"s{k}", None, tuple(words[at % 8] for at in order), (Span(0, 1, "A"),))
        for k, order in enumerate(orders)
    ]
    folder = make_tiny_llama()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    start = tokenizer.bos_token or ""
    rows = [torch.tensor([tokenizer(start + s.text, add_special_tokens=False)["input_ids"]]) for s in known]
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(40):
        optimiser.zero_grad()
        sum(model(input_ids=ids, labels=ids).loss for ids in rows).backward()
        optimiser.step()
    model.save_pretrained(tmp_path / "knows")
    tokenizer.save_pretrained(tmp_path / "knows")
    run = make_run("knows", {"quantisation": None}, weights_folder=tmp_path / "knows")
    others = [Sentence(s.id, None, ("zebra", "lion", *s.tokens[2:]), s.spans) for s in known]
    found = contamination.probe(run, {"known": known, "others": others})
    assert min(found["known"]) == 5 and sum(found["others"]) < 10


def test_of_a_study(plain_results):
    assert list(show("contamination", plain_results)) == ["tab_contamination"]
    found = dict(contamination.numbers(plain_results))
    assert found["demo", "contamination", "gap_low"] <= found["demo", "contamination", "gap_high"]
    assert "no system" in contamination.tab_contamination({"Demo": {"models": {}}}).lower()
