"""Exports: every run and measure, readable by others, the same when written again."""

import json

import pandas as pd
import pytest

from ner_utils import paths
from ner_utils.results import export


@pytest.fixture
def exported(plain_results):
    export.write_exports(plain_results)
    return plain_results, paths.RESULTS / plain_results.name


def test_the_table_has_a_row_for_each_run_and_measure(exported):
    results, folder = exported
    table = pd.read_csv(folder / "results.csv")
    assert not table.duplicated(["dataset", "system", "seed", "measure"]).any()
    assert table["value"].notna().all()
    runs = results.runs.set_index(["dataset", "system", "seed"])
    for measure in ("micro_f1", "recall", "latency_p50_ms"):
        rows = table[table["measure"] == measure].set_index(["dataset", "system", "seed"])["value"]
        assert rows.to_dict() == pytest.approx(runs[measure].to_dict(), abs=1e-4)
    assert {"f1.PER", "f1.FOOD"} <= set(table["measure"])


def test_a_record_holds_scores_with_intervals_and_no_text_of_the_corpus(exported, demo):
    results, folder = exported
    records = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    assert len(records) == len(results.stored)
    for record, item in zip(records, results.stored, strict=True):
        score = record["scores"]["micro_f1"]
        assert score["low"] <= score["value"] <= score["high"]
        assert score["value"] == pytest.approx(100 * item.metrics["micro"]["f1"], abs=0.01)
        assert record["fingerprint"] == item.run.fingerprint
    assert records[-1]["train_sentences"] == 0 < records[0]["cost"]["parameters_millions"]
    written = (folder / "records.jsonl").read_text()
    assert not any(sentence.text in written for sentence in demo["test"])


def test_of_a_single_run_the_interval_is_that_of_the_overview(exported):
    results, _ = exported
    rows = results.summary.set_index("system")
    for item in results.stored:
        record = export.record(results, item)
        row = rows.loc[record["system"]["id"]]
        bounds = [record["scores"]["micro_f1"][end] for end in ("low", "high")]
        assert bounds == pytest.approx([row["micro_f1_low"], row["micro_f1_high"]], abs=0.01)


def test_written_again_the_same(exported):
    results, folder = exported
    first = {path: path.read_bytes() for path in (folder / "results.csv", folder / "records.jsonl")}
    export.write_exports(results)
    assert all(path.read_bytes() == content for path, content in first.items())
