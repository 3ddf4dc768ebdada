"""Every result that the thesis may quote or judge, by key.

Keys are ``<dataset>.<system>.<measure>``, ``<dataset>.<system>.type.<type>.f1``,
``<dataset>.<a>-vs-<b>.difference``, ``<dataset>.<split>.<count>``, and a few of the study itself; those of a
companion study begin with its name.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from ner_utils.analyses import QUESTIONS
from ner_utils.config import tuned
from ner_utils.rendering import benchmarks, latex
from ner_utils.rendering.latex import escape
from ner_utils.results import provenance
from ner_utils.results.measures import SHARES
from ner_utils.results.study import Results, computed_once
from ner_utils.thesis import setup_tables
from ner_utils.thesis.claims import compared, key

# Measures with a digit after the point in running text, as each F1; shares have one and a percent sign.
DECIMALS = ("precision", "recall", "dev_f1_at_lowest_loss", "sentences_per_second")
DECIMALS += ("parameters_millions", "trainable_millions")
# Digits after the point of what the analyses measure, by the last part of its key; others have one.
DIGITS = {"brier": 3, "temperature": 2, "gap_low": 2, "gap_high": 2}
DIGITS |= dict.fromkeys(("gold", "predicted", "copied", "conflicting", "training_sizes"), 0)


class Number(NamedTuple):
    """A result as claims compare it, and as the thesis prints it (LaTeX)."""

    value: float | str
    text: str


def result_values(results: Results) -> dict[str, float | str]:
    """All `result_numbers` as claims compare them, by key."""
    return {name: number.value for name, number in result_numbers(results).items()}


@computed_once
def result_numbers(results: Results) -> dict[str, Number]:
    """The results of a study and of its companions, the estimates for models of full size, and, for each of
    the `QUESTIONS`, which study answers it."""
    by_key = _of_study(results)
    for other in results.companions:
        by_key |= {f"{other.name}.{name}": number for name, number in _of_study(other).items()}
    for name, (value, digits) in benchmarks.fit_numbers().items():
        by_key[name] = Number(value, latex.number(value, digits))
    warnings = list(results.warnings)
    warnings += [f"study {other.name}: {line}" for other in results.companions for line in other.warnings]
    listed = (rf"\item {escape(line[0].upper() + line[1:])}." for line in dict.fromkeys(warnings))
    quoted = {run.dataset.label: run.dataset.licence for run in results.systems if run.dataset.quotable}
    licences = "; ".join(f"{label}: {licence}" for label, licence in quoted.items())
    by_key["study.licence"] = Number(licences, escape(licences))
    by_key["study.warnings"] = Number("", " ".join(listed))
    for name, question in QUESTIONS.items():
        study = results.first_with(question.count_systems)
        if systems := question.count_systems(study):
            by_key[f"study.{name}"] = _number(name, systems)
        if study is not results:
            sizes = sorted({item.metrics["sentences"] for item in study.stored})
            texts = {"title": study.study.title, "seeds": ", ".join(map(str, study.study.seeds))}
            texts |= {"sentences": ", ".join(f"{size:,}" for size in sizes)}
            by_key |= {f"study.{name}.{part}": Number(text, escape(text)) for part, text in texts.items()}
    return by_key


def _of_study(results: Results) -> dict[str, Number]:
    by_key = dict(itertools.chain(_about(results), _of_corpora(results), _of_systems(results)))
    by_key |= itertools.chain(_of_comparisons(results), _of_tuning(results), _of_analyses(results))
    return by_key | _with_more_digits(by_key)


def _about(results: Results) -> Iterator[tuple[str, Number]]:
    """The study's texts, how many systems it has of some kinds, and its protocol."""
    study = results.study
    texts = {"title": study.title, "question": study.question, "kind": study.kind}
    for name, text in (texts | {"commit": provenance.commit()}).items():
        yield f"study.{name}", Number(text, escape(text))
    counts = {
        "tuned": len(results.tuning),
        "main_systems": len(study.main_systems),
        "companions": len(study.companions),
        "own_settings": setup_tables.many_trained(results.undisturbed),
        "selected": sum(item.run.selected_by == "loss" for item in results.stored),
        "ensembles": sum(bool(item.run.members) for item in results.stored),
    }
    for name, count in counts.items():
        if count:  # texts ask whether the key is defined
            yield f"study.{name}", _number(name, count)
    for name in ("resamples", "latency_sentences", "margin"):
        if (declared := getattr(study.protocol, name)) is not None:
            yield f"protocol.{name}", _number(name, declared)


def _of_corpora(results: Results) -> Iterator[tuple[str, Number]]:
    for dataset, report in results.audits.items():
        label = results.corpus_label(dataset)
        yield key(dataset, "label"), Number(label, escape(label))
        splits, agreement = report["audit"]["splits"], report["agreement"]
        for name in ("sentences", "mentions"):
            yield key(dataset, name), _number(name, sum(split[name] for split in splits.values()))
        for split, counts in splits.items():
            for name, value in counts.items():
                if isinstance(value, int | float):
                    share = 100 if name in SHARES else 1
                    yield key(dataset, split, name), _number(name, value * share)
            for kind, value in counts["types"].items():
                yield key(dataset, split, "type", kind, "mentions"), _number("mentions", value)
        if agreement:
            alike = 1 - agreement["differing_sentences"] / agreement["sentences"]
            for name, value in {"f1": agreement["f1"], "sentences": alike}.items():
                yield key(dataset, "agreement", name), Number(100 * value, latex.percent(100 * value))


def _of_systems(results: Results) -> Iterator[tuple[str, Number]]:
    for row in results.summary.to_dict("records"):
        at = row["dataset"], row["system"]
        yield key(*at, "kind"), Number(row["kind"], row["kind"])
        for name, value in row.items():
            if not isinstance(value, str) and (pd.notna(value) or name.endswith(("_low", "_high"))):
                measure = re.sub(r"_f1_(low|high)$", r"_f1.\1", name)
                yield key(*at, measure), _number(measure, value)
    for row in results.types.to_dict("records"):
        for name in ("precision", "recall", "f1"):
            yield key(row["dataset"], row["system"], "type", row["type"], name), _number(name, row[name])


def _of_comparisons(results: Results) -> Iterator[tuple[str, Number]]:
    for row in results.comparisons.to_dict("records"):
        name, points = compared(row), {"points": abs(row["difference"])}
        for part in ("difference", "points", "low", "high", "smallest"):
            yield f"{name}.{part}", _number("f1", (row | points)[part])
        for part in ("p", "p_holm"):
            yield f"{name}.{part}", Number(row[part], latex.p_value(row[part]))


def _of_tuning(results: Results) -> Iterator[tuple[str, Number]]:
    for run, search in results.tuning:
        name = key(run.dataset_name, run.system, "tuning")
        scores = [100 * trial["dev_f1"] for trial in search["trials"]]
        minutes = search["seconds"] / 60
        yield f"{name}.trials", _number("trials", len(scores))
        if (declared := tuned.declared_f1(search)) is not None:
            yield f"{name}.declared", _number("dev_f1", 100 * declared)
        yield f"{name}.chosen", _number("dev_f1", scores[search["best"]])
        yield f"{name}.minutes", Number(minutes, latex.number(minutes, 1))


def _of_analyses(results: Results) -> Iterator[tuple[str, Number]]:
    for name, question in QUESTIONS.items():
        for parts, value in question.numbers(results):
            digits = 0 if "errors" in parts else DIGITS.get(parts[-1], 1)
            text = latex.significant(value) if name == "costs" else latex.number(value, digits)
            yield key(*parts), Number(value, text)


def _with_more_digits(by_key: dict[str, Number]) -> dict[str, Number]:
    """The ends of intervals that rounding made equal, with more digits."""
    again = {}
    for name, low in by_key.items():
        other = f"{name.removesuffix('.low')}.high"
        high = by_key.get(other)
        if name.endswith(".low") and high and low.text == high.text and low.value < high.value:
            texts = latex.ends(low.value, high.value)
            again |= {name: Number(low.value, texts[0]), other: Number(high.value, texts[1])}
    return again


def _number(measure: str, value: float) -> Number:
    if measure in SHARES:
        return Number(value, latex.percent(value))
    name = re.sub(r"\.(low|high)$", "", measure)
    return Number(value, latex.number(value, int(name.endswith("f1") or name in DECIMALS)))
