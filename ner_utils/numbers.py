"""A study's numbers by name: what the thesis may quote and its claims may judge.

Names are ``<dataset>.<system>.<measure>``, ``<dataset>.<system>.type.<type>.f1``,
``<dataset>.<a>-vs-<b>.difference``, ``<dataset>.<split>.<count>``, and a few of the study itself.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import pandas as pd

from ner_utils import latex, provenance
from ner_utils.prompts import DROPPED
from ner_utils.study import STATUSES, Results

# How running text shows a measure: digits, and whether a percent sign follows.
MEASURES = {
    **dict.fromkeys(("micro_f1", "macro_f1", "precision", "recall"), (1, False)),
    **dict.fromkeys((*STATUSES, "cut_off", "ungrounded_rate"), (1, True)),
    **dict.fromkeys((f"dropped.{reason}" for reason in DROPPED), (1, True)),
    **dict.fromkeys(("predicted", "answered", "lost_words", "lost_mentions", "cut_off_examples"), (0, False)),
    **dict.fromkeys(("train_sentences", "steps", "batch_size", "seeds"), (0, False)),
    **dict.fromkeys(("parameters", "trainable_parameters"), (0, False)),
    **dict.fromkeys(("parameters_millions", "trainable_millions", "sentences_per_second"), (1, False)),
    **dict.fromkeys(("training_seconds", "looks_seconds", "memory_mib", "training_memory_mib"), (0, False)),
    **dict.fromkeys(("latency_mean_ms", "latency_p50_ms", "latency_p95_ms"), (0, False)),
    **dict.fromkeys(("dev_f1", "dev_f1_at_lowest_loss"), (1, False)),
    **dict.fromkeys(("loss_agrees", "last_look_best"), (0, True)),  # share of the seeds
}


class Number(NamedTuple):
    """A result as claims compare it, and as the thesis prints it (LaTeX)."""

    value: float | str
    text: str


def key(*parts: str) -> str:
    """A result's key; characters that TeX or a claim could trip over become their code points."""
    return ".".join(re.sub(r"[^\w.-]", lambda match: f"-{ord(match[0]):x}-", part) for part in parts)


def numbers(results: Results) -> dict[str, Number]:
    """Every result that the text may quote or judge, by key."""
    protocol = results.study.protocol
    found = {
        "study.title": _text(results.study.title),
        "study.question": _text(results.study.question),
        "study.kind": _text(results.study.kind),
        "study.commit": _text(provenance.commit()),
        "study.warnings": Number("", r"\par ".join(map(latex.escape, results.warnings))),
        "protocol.resamples": _number(protocol.resamples),
        "protocol.latency_sentences": _number(protocol.latency_sentences),
        "protocol.seeds": _number(len(results.study.seeds)),
    }
    for dataset, audit in results.audits.items():
        found |= _corpus_numbers(dataset, audit["audit"], audit["agreement"])
    for row in results.summary.to_dict("records"):
        for measure, (digits, share) in MEASURES.items():
            if pd.notna(row.get(measure)):
                found[key(row["dataset"], row["system"], measure)] = _number(row[measure], digits, share)
        for measure in ("micro_f1", "macro_f1"):
            for side in ("low", "high"):
                found[key(row["dataset"], row["system"], measure, side)] = _number(
                    row[f"{measure}_{side}"], 1
                )
    for row in results.types.to_dict("records"):
        for score in ("precision", "recall", "f1"):
            name = key(row["dataset"], row["system"], "type", row["type"], score)
            found[name] = _number(row[score], 1)
    for row in results.comparisons.to_dict("records"):
        name = key(row["dataset"], f"{row['a']}-vs-{row['b']}")
        found |= {f"{name}.{side}": _number(row[side], 1) for side in ("difference", "low", "high")}
        found |= {f"{name}.{p}": Number(row[p], latex.p_value(row[p])) for p in ("p", "p_holm")}
    return found


def _corpus_numbers(dataset: str, audit: dict, agreement: dict | None) -> dict[str, Number]:
    splits = audit["splits"]
    found = {
        key(dataset, what): _number(sum(split[what] for split in splits.values()))
        for what in ("sentences", "mentions")
    }
    for name, split in splits.items():
        for what, value in split.items():
            if isinstance(value, int):
                found[key(dataset, name, what)] = _number(value)
            elif isinstance(value, float):
                found[key(dataset, name, what)] = _number(100 * value, 1, True)
        for kind, value in split["types"].items():
            found[key(dataset, name, "type", kind, "mentions")] = _number(value)
    if agreement:
        alike = 1 - agreement["differing_sentences"] / agreement["sentences"]
        found[key(dataset, "agreement", "f1")] = _number(100 * agreement["f1"], 1, True)
        found[key(dataset, "agreement", "sentences")] = _number(100 * alike, 1, True)
    return found


def _text(text: str) -> Number:
    return Number(text, latex.escape(text))


def _number(value: float, digits: int = 0, share: bool = False) -> Number:
    return Number(value, latex.percent(value, digits) if share else latex.number(value, digits))
