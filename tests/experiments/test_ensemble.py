"""Ensembles: the weights of members, the predicted spans, and the stored results that they need."""

import json
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ner_utils import config, data, paths, scoring
from ner_utils.data import predictions
from ner_utils.data.spans import Span
from ner_utils.experiments import ensemble
from ner_utils.rendering import figures
from ner_utils.results import evaluation, provenance
from ner_utils.sealed import ResultError
from ner_utils.thesis import build, result_tables
from ner_utils.thesis.leads import leads
from ner_utils.thesis.numbers import result_numbers

GOOD, BAD, BOTH = np.array([1, 0]), np.array([0, 1]), np.array([1, 1])


def trial(sentences, *skills, seed=0):
    """Gold, and votes of members who state a gold span, and a wrong one, with these chances."""
    chance = random.Random(seed)
    gold, votes = [], []
    for _ in range(sentences):
        right, wrong = Span(0, 2, "A"), Span(3, 4, "B")
        gold.append([right])
        pick = [
            [s for s, p in zip((right, wrong), skill, strict=True) if chance.random() < p] for skill in skills
        ]
        votes.append(ensemble.count_votes(pick))
    return gold, votes


def test_the_better_member_has_the_larger_weight():
    gold, votes = trial(300, (0.6, 0.1), (0.5, 0.4))
    voter, f1 = ensemble.train_voter(gold, votes, range(300))
    assert voter.weights[0] > voter.weights[1]
    alone = [scoring.score(gold, [[s for s, v in row.items() if v[k]] for row in votes]).f1 for k in (0, 1)]
    assert f1 > max(alone)
    assert abs(scoring.score(gold, [voter.choose(row) for row in votes]).f1 - f1) < 0.03


def test_the_cross_validated_score_holds_on_fresh_sentences():
    """Members guess. The score on fresh sentences is that of dev, not lower."""
    on_dev, on_fresh = [], []
    for seed in range(8):
        gold, votes = trial(60, (0.5, 0.5), (0.5, 0.5), (0.5, 0.5), seed=seed)
        voter, f1 = ensemble.train_voter(gold, votes, range(60))
        fresh = trial(300, (0.5, 0.5), (0.5, 0.5), (0.5, 0.5), seed=1000 + seed)
        on_dev.append(f1)
        on_fresh.append(scoring.score(fresh[0], [voter.choose(row) for row in fresh[1]]).f1)
    assert abs(np.mean(on_dev) - np.mean(on_fresh)) < 0.03


def test_sentences_of_a_document_stay_in_one_fold():
    gold, votes = trial(100, (0.8, 0.1), (0.4, 0.6))
    with pytest.raises(ValueError, match="4 dev sentences, too few for 5 folds"):
        ensemble.train_voter(gold, votes, [at % 4 for at in range(100)])


@pytest.mark.parametrize(("many", "folds"), [(4, None), (5, 5)])
def test_sentences_of_few_documents_are_groups_of_their_own(demo, made_up, monkeypatch, many, folds):
    made_up(name="vote")
    run = config.load_run("vote", "demo", "seeds", 1)
    dev = data.dev_sentences(run, demo)
    asked = []
    monkeypatch.setattr(ensemble, "train_voter", lambda gold, votes, groups: asked.append(set(groups)))
    ensemble.train_voter_on_dev(run, [replace(each, document=f"d{at % many}") for at, each in enumerate(dev)])
    assert len(asked[0]) == (folds or len(dev))


@pytest.mark.parametrize("skill", [(1, 0), (0, 1)])
def test_a_dev_set_that_teaches_nothing(skill):
    with pytest.raises(ValueError, match="all right or all wrong"):
        ensemble.train_voter(*trial(50, skill, skill), range(50))


spans = st.builds(
    lambda s, n, t: Span(s, s + n, t), st.integers(0, 6), st.integers(1, 3), st.sampled_from("AB")
)


@given(st.lists(st.lists(spans, max_size=4), min_size=2, max_size=3), st.floats(0, 1))
def test_what_is_chosen_was_stated_and_does_not_overlap(members, threshold):
    votes = ensemble.count_votes(members)
    voter = ensemble.Voter(np.arange(1.0, len(members) + 1), -1.0, threshold)
    chosen = voter.choose(votes)
    assert set(chosen) <= {span for member in members for span in member}
    assert list(chosen) == sorted(chosen)
    assert all(a.end <= b.start for a, b in zip(chosen, chosen[1:], strict=False))
    if threshold == 0 and votes:
        assert chosen


def test_the_likelier_of_two_that_overlap_is_kept():
    voter = ensemble.Voter(np.array([2.0, 1.0]), 0.0, 0.5)
    votes = {Span(0, 2, "A"): BAD, Span(1, 3, "A"): GOOD, Span(4, 5, "B"): BOTH}
    assert voter.choose(votes) == (Span(1, 3, "A"), Span(4, 5, "B"))


# ------------------------------------------------------------------------------- in a study
def test_seeds_turn_when_a_system_stands_twice():
    members = [config.load_run("vote", "demo", "seeds", seed).members for seed in (1, 2)]
    assert [[run.seed for run in pair] for pair in members] == [[1, 2], [2, 1]]
    assert all(run.system == "minilm" for pair in members for run in pair)


def test_fingerprint_follows_the_members():
    plain, other = (
        config.load_run("vote", "demo", "seeds", 1, text) for text in ("", "model.training.epochs=2")
    )
    assert plain.fingerprint != other.fingerprint


def test_from_stored_predictions_to_a_result(demo, made_up):
    results = made_up(name="vote")
    run = config.load_run("vote", "demo", "seeds", 1)
    dev = data.dev_sentences(run, demo)
    voter, f1 = ensemble.train_voter_on_dev(run, dev)
    table = ensemble.vote_patterns(run, dev, voter)
    assert table["spans"].sum() == sum(map(len, ensemble.collect_votes(run, "dev", dev)))
    predicted = evaluation.load_predictions(run, data.test_sentences(run, demo))
    assert predicted == ensemble.predict_by_vote(run, voter, data.test_sentences(run, demo))
    costs = results.summary.set_index("system")
    assert costs.loc["seeds", "latency_mean_ms"] == pytest.approx(2 * costs.loc["minilm", "latency_mean_ms"])
    assert costs.loc["seeds", "memory_mib"] == costs.loc["minilm", "memory_mib"]
    taught = next(item for item in results.stored if item.run.fingerprint == run.fingerprint).efficiency[
        "ensemble"
    ]
    assert taught["dev_f1"] == pytest.approx(f1)


def test_percentiles_are_those_of_the_sums(made_up):
    """One member is slow where the other is fast: the 95th percentiles of both would add up to 200 ms."""
    made_up(name="vote")
    run = config.load_run("vote", "demo", "seeds", 1)
    times = [[100.0] * 10 + [1.0] * 10, [1.0] * 10 + [100.0] * 9 + [101.0]]
    for member, milliseconds in zip(run.members, times, strict=True):
        edit_latency(member, milliseconds)
    found = ensemble.cost_of_members(run, ensemble.Voter(np.ones(2), 0.0, 0.5), 0.5)["latency"]
    assert found["milliseconds"] == [101.0] * 19 + [102.0]
    assert (found["sentences"], found["p50_ms"]) == (20, 101.0)
    assert found["p95_ms"] == pytest.approx(101.05)  # at 18.05 of the 19 steps from the first to the last
    assert found["mean_ms"] == pytest.approx(101.05)


@pytest.mark.parametrize("times", [[None, [1.0, 2.0]], [[1.0], [1.0, 2.0]]])
def test_percentiles_that_cannot_be_measured_are_dashes(made_up, times):
    """Of members that were stored before, or whose sentences are others: in tables, overview and numbers."""
    results = made_up(name="vote")
    run = config.load_run("vote", "demo", "seeds", 1)
    for member, milliseconds in zip(run.members, times, strict=True):
        edit_latency(member, milliseconds)
    found = ensemble.cost_of_members(run, ensemble.Voter(np.ones(2), 0.0, 0.5), 0.5)["latency"]
    assert found["p50_ms"] is found["p95_ms"] is None and found["mean_ms"] > 0

    row = results.summary.set_index("system").loc["seeds"]
    assert np.isnan(row[["latency_p50_ms", "latency_p95_ms"]].tolist()).all() and row["latency_mean_ms"] > 0
    line = next(line for line in build.overview(results).splitlines() if line.startswith("| Two seeds"))
    assert line.split(" | ")[5] == "–" and "nan" not in line
    assert result_tables.efficiency(results).split("Two seeds")[1].split(r"\\")[0].count("{--}") >= 2
    assert "demo.seeds.latency_p50_ms" not in result_numbers(results)
    assert "for a sentence" not in leads(results).get("cost", "")
    figures.fig_latency(results)


def test_added_up_percentiles_of_older_results_are_not_shown(made_up):
    results = made_up(name="vote")
    item = next(item for item in results.stored if item.run.members)
    item.efficiency["latency"] = {"mean_ms": 3.0, "p50_ms": 2.0, "p95_ms": 9.0}
    row = results.runs.query("system == @item.run.system and seed == @item.run.seed").iloc[0]
    assert np.isnan(row["latency_p95_ms"]) and np.isnan(row["latency_p50_ms"]) and row["latency_mean_ms"] == 3


def test_members_of_other_kinds_add_up_as_far_as_they_are_known():
    """A model that is trained on labels of another, one behind a server, and a zero-shot one."""
    here = {"latency": {"mean_ms": 2.0}, "prediction_memory": {"process_mib": 5.0}, "threads": 2}
    trained = here | {"training_seconds": 3.0, "looks_seconds": 1.0, "labelling_seconds": 4.0}
    trained |= {"sentences_per_second": 10.0, "parameters": {"total": 7, "trainable": 2}}
    server = {"latency": {"mean_ms": None}, "prediction_memory": {}, "sentences_per_second": None}
    found = ensemble._sum([server | {"dollars": 0.5}, trained, here | {"sentences_per_second": 10.0}])
    assert found["latency"] == {"mean_ms": None, "p50_ms": None, "p95_ms": None}
    assert found["sentences_per_second"] is None and "parameters" not in found
    assert (found["labelling_seconds"], found["dollars"], found["threads"]) == (4.0, 0.5, 2)
    assert found["prediction_memory"] == {"process_mib": 5.0}
    found = ensemble._sum([trained, trained])
    assert found["parameters"] == {"total": 14, "trainable": 4} and found["sentences_per_second"] == 5.0
    assert "dollars" not in found and "dollars" not in ensemble._sum([here | {"sentences_per_second": 1.0}])


def edit_latency(run, milliseconds):
    """Store these times of the sentences of a run, or none."""
    file, sealed = run.results / "efficiency.json", provenance.read_manifest(run)["files"]
    cost = json.loads(file.read_text())
    cost["latency"] = {"mean_ms": float(np.mean(milliseconds or [3.0])), "p50_ms": 2.0, "p95_ms": 9.0}
    cost["latency"] |= {"milliseconds": milliseconds} if milliseconds else {}
    file.write_text(json.dumps(cost))
    provenance.write_manifest(run, sealed)


def test_a_member_that_is_missing(demo, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    run = config.load_run("vote", "demo", "seeds", 1)
    with pytest.raises(ResultError, match="minilm/seed1: no result; run make study STUDY=vote"):
        ensemble.train_voter_on_dev(run, data.dev_sentences(run, demo))


def test_dev_predictions_are_sealed(demo, made_up):
    made_up(name="vote")
    run = config.load_run("vote", "demo", "minilm", 1)
    file = run.results / "dev.jsonl"
    assert len(predictions.read_predictions(file, data.dev_sentences(run, demo))) == 120
    file.write_text(file.read_text().replace("[", "[ ", 1))
    with pytest.raises(ResultError, match="dev.jsonl: missing or changed"):
        provenance.read_manifest(run)


def test_a_study_that_does_not_ask_predicts_no_dev(demo):
    assert data.dev_sentences(config.load_run("first-look", "demo", "minilm", 1), demo) == []
    assert data.dev_sentences(config.load_run("demo", "demo", "minilm", 1), demo)
    assert data.dev_sentences(config.load_run("demo", "demo", "minilm-typos", 1), demo) == []


def test_tables_and_numbers(made_up):
    results = made_up(name="vote")
    text = result_tables.all_tables(results)
    assert "MiniLM (22M), seed 2" in text["tab_ensembles"]
    assert "Two seeds of MiniLM" not in text["tab_hyperparameters"]
    assert result_numbers(results)["study.ensembles"].value == 2
    plain = made_up()
    assert "no ensemble" in result_tables.all_tables(plain)["tab_ensembles"]
    assert "study.ensembles" not in result_numbers(plain)


@pytest.mark.parametrize(
    ("weights", "threshold", "expected"),
    [
        ([2.0, 2.0], 0.3, [(0,), (1,)]),
        ([2.0, 2.0], 0.8, [(0, 1)]),
        ([0.1, 3.0], 0.5, [(1,)]),
        ([1.5, 1.5, 3.0], 0.6, [(2,), (0, 1)]),
        ([1.0, 1.0], 0.99, []),
    ],
)
def test_the_votes_that_suffice(weights, threshold, expected):
    assert ensemble.Voter(np.array(weights), -2.0, threshold).sufficient() == expected
