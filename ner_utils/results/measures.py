"""What is known of one run, as numbers: scores and shares in percent, cost, and its evaluations on dev."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ner_utils import scoring
from ner_utils.data.predictions import STATUSES
from ner_utils.forms.base import DROPPED
from ner_utils.results.evaluation import Stored

OF_ANSWERS = (*STATUSES, "cut_off", "ungrounded_rate", *(f"dropped.{reason}" for reason in DROPPED))
SHARES = (*OF_ANSWERS, "loss_agrees", "last_look_best", "empty_share", "unseen_share")


def measures(item: Stored) -> dict[str, float]:
    """All measures of a run; NaN for those that it does not have."""
    metrics, cost = item.metrics, item.efficiency
    lost, latency = cost["prediction_truncation"], cost["latency"]
    parameters = cost.get("parameters", {"total": math.nan, "trainable": math.nan})
    if item.run.members and "milliseconds" not in latency:
        latency = latency | {"p50_ms": None, "p95_ms": None}  # older results add up those of the members
    repair = metrics.get("repair")  # of taggers alone
    values = {
        "precision": 100 * metrics["micro"]["precision"],
        "recall": 100 * metrics["micro"]["recall"],
        "micro_f1": 100 * metrics["micro"]["f1"],
        "macro_f1": 100 * metrics["macro"]["f1"],
        **{f"{name}_f1": 100 * metrics["schemes"][name]["f1"] for name in scoring.SCHEMES[1:]},
        **{f"{name}_f1": 100 * score["f1"] for name, score in metrics["conventions"].items()},
        **{f"{name}_mentions": score["support"] for name, score in metrics["conventions"].items()},
        "repaired_spans": repair and repair["spans"],
        "discarded_f1": repair and 100 * repair["discarded"]["f1"],
        "weighted_f1": 100 * metrics["weighted"]["f1"],
        "mentions": metrics["micro"]["support"],
        **{key: metrics.get(key) for key in ("sentences", "predicted", "answered")},
        **{key: cost.get(key) for key in ("training_seconds", "looks_seconds", "steps")},
        **{key: cost.get(key) for key in ("labelling_seconds", "teacher_seconds", "labelled_sentences")},
        "labels_f1": 100 * cost.get("labels_f1", math.nan),
        **{key: cost.get(key) for key in ("sentences_per_second", "batch_size")},
        **{f"latency_{key}": latency[key] for key in ("mean_ms", "p50_ms", "p95_ms")},
        "differing": latency.get("differing"),
        "memory_mib": _memory(cost["prediction_memory"]),
        "training_memory_mib": _memory(cost.get("training_memory", {})),
        "parameters_millions": parameters["total"] / 1e6,
        "trainable_millions": parameters["trainable"] / 1e6,
        "dollars_per_thousand": 1000 * cost.get("dollars", math.nan) / metrics["sentences"],
        **{key: lost.get(key) for key in ("lost_words", "lost_mentions")},
        "cut_off_examples": cost.get("training_truncation", {}).get("cut_off_examples"),
        **dict.fromkeys(("dev_f1", "dev_f1_at_lowest_loss", "loss_agrees", "last_look_best", *OF_ANSWERS)),
    }
    if "statuses" in metrics:
        percent_of_answers, percent_of_items = metrics["sentences"] / 100, max(1, metrics["answered"]) / 100
        values |= {status: metrics["statuses"].get(status, 0) / percent_of_answers for status in STATUSES}
        values |= {"cut_off": lost["cut_off_answers"] / percent_of_answers}
        values |= {"ungrounded_rate": 100 * metrics["ungrounded_rate"]}
        dropped = metrics["dropped"]
        values |= {f"dropped.{reason}": dropped.get(reason, 0) / percent_of_items for reason in DROPPED}
    if rows := evaluation_rows(cost):
        chosen = next(row for row in rows if row["chosen"])
        lowest = next(row for row in rows if row["lowest_loss"])
        values |= {"dev_f1": chosen["dev_f1"], "dev_f1_at_lowest_loss": lowest["dev_f1"]}
        values |= {"loss_agrees": 100 * (chosen is lowest), "last_look_best": 100 * (chosen is rows[-1])}
    return {key: math.nan if value is None else float(value) for key, value in values.items()}


def _memory(peak: Mapping[str, float]) -> float | None:
    """The device's memory on a GPU, the process' on a CPU."""
    return peak.get("gpu_mib", peak.get("process_mib"))


def evaluation_rows(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The evaluations on dev of a training record: progress (percent), dev_f1, dev_loss, and whether they are
    chosen or have the lowest_loss."""
    evaluations = record.get("looks", [])
    lowest = min(evaluations, key=lambda each: each["dev_loss"], default=None)  # the first of equals
    return [
        {
            "progress": 100 * each["step"] / record["steps_declared"],
            "dev_f1": 100 * each["dev_f1"],
            "dev_loss": each["dev_loss"],
            "chosen": f"checkpoint-{each['step']}" == record["best_checkpoint"],
            "lowest_loss": each is lowest,
        }
        for each in evaluations
    ]
