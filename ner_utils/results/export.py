"""A study's results for other programs: a tidy table, and one record a run.

``results/<study>/results.csv`` has one row a run and measure; ``results/<study>/records.jsonl`` has one JSON
object a run. `docs/using-results.md` explains both.
"""

from __future__ import annotations

import json
import math
from typing import Any

import pandas as pd

from ner_utils import paths
from ner_utils.files import write_whole
from ner_utils.results.evaluation import Stored
from ner_utils.results.measures import measures
from ner_utils.results.study import Results

METRICS = ("micro_f1", "macro_f1")  # with an interval
COSTS = ("training_seconds", "sentences_per_second", "latency_p50_ms", "memory_mib", "training_memory_mib")
COSTS += ("parameters_millions", "trainable_millions", "dollars_per_thousand")


def write_exports(results: Results) -> None:
    """Write the table and the records of a study."""
    folder = paths.RESULTS / results.name
    write_whole(folder / "results.csv", tidy(results).to_csv(index=False, lineterminator="\n").encode())
    lines = (json.dumps(record(results, item), ensure_ascii=False) for item in results.stored)
    write_whole(folder / "records.jsonl", ("\n".join(lines) + "\n").encode())


def tidy(results: Results) -> pd.DataFrame:
    """One row a run and measure: dataset, system, label, seed, measure, value. Scores and shares are in
    percent; the F1 of a type is the measure ``f1.<type>``."""
    rows = []
    for item in results.stored:
        values = {name: value for name, value in measures(item).items() if not math.isnan(value)}
        values |= {f"f1.{kind}": 100 * score["f1"] for kind, score in item.metrics["types"].items()}
        names = (item.run.dataset_name, item.run.system, item.run.label, item.run.seed)
        rows += [[*names, measure, round(value, 4)] for measure, value in values.items()]
    return pd.DataFrame(rows, columns=["dataset", "system", "label", "seed", "measure", "value"])


def record(results: Results, item: Stored) -> dict[str, Any]:
    """A run: what was run, its scores in percent with 95 % intervals over test sentences (or documents), its
    cost, and where it comes from."""
    run, values, manifest = item.run, measures(item), item.manifest
    scores = {name: round(values[name], 2) for name in ("precision", "recall")}
    for metric in METRICS:
        bounds = results.interval_of(run, metric).percent("value")
        scores[metric] = {name: round(value, 2) for name, value in bounds.items()}
    scores["types"] = {kind: round(100 * each["f1"], 2) for kind, each in item.metrics["types"].items()}
    return {
        "study": results.name,
        "corpus": {"id": run.dataset_name, "label": run.dataset.label, "language": run.dataset.language},
        "system": {"id": run.system, "label": run.label, "kind": run.model.kind, "seed": run.seed},
        "train_sentences": 0 if run.untrained else run.train_sentences,  # null: all
        "test_sentences": item.metrics["sentences"],
        "scores": scores,
        "cost": {name: round(values[name], 3) for name in COSTS if not math.isnan(values[name])},
        "fingerprint": run.fingerprint,
        "commit": manifest["commit"],
        "machine": manifest["machine"],
    }
