"""Tables of mentions: their numbers are those of the study, and what is asked wrongly is refused."""

import json
import sys

import pandas as pd
import pytest
from conftest import refused

from ner_utils import config, data, explorer, paths
from ner_utils.config.run import Run
from ner_utils.data.predictions import read_predictions
from ner_utils.explorer import mentions, view, widget
from ner_utils.scoring.error_types import KINDS


@pytest.fixture(scope="module")
def seen():
    return explorer.load_mentions("example")


def stored(name):
    return json.loads((paths.RESULTS / "example" / "demo" / name).read_text())


def test_outcomes_are_those_of_the_study(seen):
    """Each error counts once, as in the table of errors."""
    rows = seen.mentions
    for system, numbers in stored("differences.json")["errors"].items():
        counted = rows[rows["gold"] | (rows[system] == "spurious")][system].value_counts()
        assert {kind: counted.get(kind, 0) for kind in KINDS} == numbers
    errors = stored("differences.json")["errors"]["smollm2"]
    for kind in ("both", "spurious"):
        assert len(explorer.browse("example", "smollm2", error=kind)) == errors[kind]


def test_scores_are_those_of_the_study(seen):
    """Counts of right, wrong and missed spans by type, from the mentions alone."""
    rows = seen.mentions
    for system, run in seen.runs.items():
        scores = json.loads((run.results / "metrics.json").read_text())["types"]
        for kind, score in scores.items():
            one = rows[rows["type"] == kind]
            right = int((one[system] == "correct").sum())
            predicted = right + int((~one["gold"] & (one[system] != "")).sum())
            assert right / max(1, predicted) == pytest.approx(score["precision"])
            assert right / max(1, int(one["gold"].sum())) == pytest.approx(score["recall"])


def test_browse_finds_what_a_plain_loop_finds(seen):
    test = data.load_split("demo", config.load_dataset("demo"), "test")
    first, second = (
        {
            each.id: set(each.spans)
            for each in read_predictions(seen.runs[name].results / "predictions.jsonl", test)
        }
        for name in ("minilm", "smollm2")
    )
    expected = {
        (sentence.id, span)
        for sentence in test
        for span in sentence.spans
        if span in first[sentence.id] and span not in second[sentence.id]
    }
    found = explorer.browse("example", "minilm", "smollm2")
    gold = found[found["smollm2"] != "spurious"]
    assert {(row.id, (row.start, row.end, row.type)) for row in gold.itertuples()} == expected
    spurious = explorer.browse("example", "minilm", "smollm2", error="spurious")
    assert len(spurious) == len(found) - len(gold) > 0
    assert all(not first[row.id] & {(row.start, row.end, row.type)} for row in spurious.itertuples())
    assert len(explorer.browse("example", "minilm", "smollm2", type="PER", seen=False, length=2)) == len(
        found[(found["type"] == "PER") & (found["end"] - found["start"] == 2)].merge(
            seen.mentions[~seen.mentions["seen"]], on=["id", "start", "end", "type"]
        )
    )


def test_an_error_shows_what_was_predicted_in_its_place():
    found = explorer.browse("example", "smollm2", error="boundary")
    assert len(found) > 3
    for row, spans in zip(found.itertuples(), found["smollm2 spans"], strict=True):
        assert spans and all(0 < confidence <= 1 for *_, confidence in spans)
        assert (row.words, row.type) not in [span[:2] for span in spans]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"a": "nobody"}, "example: undisturbed systems: no 'nobody'; there are: minilm"),
        ({"a": "minilm", "seed": 7}, "example: seed: no 7; there are: 1"),
        ({"a": "minilm", "type": "PERSON"}, "browse: type: no 'PERSON'; there are: PER, ORG"),
        ({"a": "minilm", "error": "wrong"}, "browse: error: no 'wrong'; there are: correct, type"),
        ({"a": "minilm", "colour": 1}, "browse: no 'colour'; there are: sentence, id"),
        ({"a": "minilm", "seen": "no"}, "browse: seen: no 'no'; there are: False, True"),
    ],
)
def test_what_is_unknown_is_refused(keys, message):
    assert message in refused(lambda: explorer.browse("example", **keys))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"error": "boundary"}, "explore: no 'error'; there are: type, length"),
        ({"tpye": "PER"}, "explore: no 'tpye'; there are: type, length"),
        ({"a": "Correct"}, "explore: a: no 'Correct'; there are: correct, type"),
        ({"b": ["boundary", "missing"]}, "explore: b: no 'missing'; there are: correct, type"),
        ({"systems": ["minilm"], "b": "missed"}, "explore: no 'b'; there are: type, length"),
        ({"type": "person"}, "explore: type: no 'person'; there are: PER, ORG"),
        ({"seen": "no"}, "explore: seen: no 'no'; there are: False, True"),
        ({"a_confidence": 60}, "explore: a_confidence: no 60; there are: -1, 0, 50, 80, 95"),
        ({"seed": 7}, "example: seed: no 7; there are: 0, 1"),
    ],
)
def test_facets_that_are_unknown_are_refused(keys, message):
    assert message in refused(lambda: explorer.explore("example", **keys))


def test_facets_reach_the_front_end_as_its_code_writes_them(seen):
    wanted = {"a": "correct", "b": ["boundary", ""], "seen": False, "type": "PER", "length": 2, "text": "the"}
    chosen = {"a": ["c"], "b": ["b", "."], "seen": [0], "type": ["PER"], "length": [2], "text": ["the"]}
    assert view.filters(seen, wanted) == chosen


def test_a_seed_is_that_of_each_system_that_has_it():
    runs = mentions.runs_of("wnut17-cpu", None, ["minilm-1200", "smollm2-zero-shot"], seed=2)
    assert {name: run.seed for name, run in runs.items()} == {"minilm-1200": 2, "smollm2-zero-shot": 0}


def test_a_page_without_text_has_no_word_of_the_corpus(seen):
    """Ids, types, labels and numbers alone."""
    whole, bare = (json.dumps(view.view_of(seen, text=text), ensure_ascii=False) for text in (True, False))
    words = {word for sentence in seen.gold for word in sentence.tokens if word.isalpha() and len(word) > 6}
    assert len([word for word in words if word in whole]) == len(words)
    shown = json.loads(bare)
    assert shown["sentences"].pop("tokens") is None
    assert all(system["answers"] is None for system in shown["systems"])
    kept = json.dumps([shown["sentences"], shown["mentions"], shown["documents"]])
    assert not [word for word in words if word in kept]


def test_what_cannot_be_asked_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    assert "its checkpoint is not on this machine" in refused(explorer.ask, "A b", "example", ["minilm"])
    assert "the sentence is empty" in refused(explorer.ask, "  ", "example")
    assert "undisturbed systems: no 'nobody'" in refused(explorer.ask, "A b", "example", ["nobody"])
    assert "seed: no 7" in refused(lambda: explorer.ask("A b", "example", seed=7))


def test_systems_with_examples_are_not_asked_for_other_types(tmp_path, monkeypatch):
    """Their examples are training sentences, with types that a prompt for other types does not list."""
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    few = [name for name, system in config.load_study("scale-wnut17").systems.items() if system.few_shot]
    message = refused(lambda: explorer.ask("A b", "scale-wnut17", few, types=["ship"]))
    assert few and message.count("its examples have the corpus' types") == len(few)


def test_other_types_can_be_asked_for_where_a_corpus_lists_its_tags():
    corpus = config.load_dataset("multinerd")
    run = config.runs_of("example")[0].model_copy(update={"dataset": corpus})
    asked = sys.modules["ner_utils.explorer.ask"]._with_types(run, ["ship"])  # explorer.ask is the function
    assert corpus.tags and Run.model_validate_json(asked.model_dump_json()).dataset.types == {"ship": "ship"}


@pytest.mark.parametrize(
    "error", [config.ConfigError("no"), KeyError("x"), KeyboardInterrupt(), MemoryError()]
)
def test_the_widget_answers_whatever_fails(seen, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(widget, "ask", fail)
    answer = widget.Explorer(seen, {}, study="example")._answer({"text": "A b", "types": "ship, Ship"})
    assert answer == {"error": f"{type(error).__name__}: {error}"}


def test_the_widget_asks_systems_with_the_seed_that_it_shows(monkeypatch):
    asked = {}
    monkeypatch.setattr(widget, "ask", lambda *_, **keys: asked.update(keys) or pd.DataFrame())
    shown = explorer.explore("example", ["minilm"], seed=1)
    assert shown._answer({"text": "A b", "types": ""}) == {"rows": []} and asked["seed"] == 1
