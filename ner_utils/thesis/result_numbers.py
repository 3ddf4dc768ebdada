"""What the thesis takes from a study: numbers by name, claims, tables, and a plain discussion.

Names are ``<dataset>.<system>.<measure>``, ``<dataset>.<system>.type.<type>.f1``,
``<dataset>.<a>-vs-<b>.difference``, ``<dataset>.<split>.<count>``, and a few of the study itself; those of a
companion study begin with its name.
The discussion states what the tables show and interprets nothing; its judgements are claims, too.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pandas as pd

from ner_utils.thesis import claims, setup_tables, advice, paper_claims, result_tables
from ner_utils.results import findings, provenance
from ner_utils.analyses import (confidence, contamination, costs, differences, flexibility, label_efficiency, robustness, benchmarks)
from ner_utils.rendering import latex
from ner_utils import paths
from ner_utils.files import write_whole
from ner_utils.thesis.claims import key
from ner_utils.rendering.latex import escape
from ner_utils.results.cautions import doubts, few_documents
from ner_utils.results.measures import SHARES
from ner_utils.results.study import ALPHA, Results, computed_once

# Measures with a digit after the point in running text; shares have one and a percent sign.
DECIMALS = ("micro_f1", "macro_f1", "precision", "recall", "f1", "dev_f1", "dev_f1_at_lowest_loss")
DECIMALS += ("parameters_millions", "trainable_millions", "sentences_per_second")


class Number(NamedTuple):
    """A result as claims compare it, and as the thesis prints it (LaTeX)."""

    value: float | str
    text: str


def write(results: Results) -> dict[str, bool]:
    """Write everything below ``thesis/generated/<study>``, and the study's overview beside its results;
    returns the claims and their truth.

    Raises `claims.ClaimError` on a claim that cannot be evaluated, the other files being written by
    then: numbers.tex shows which keys there are.
    """
    folder = paths.THESIS / "generated" / results.name
    found = numbers(results)
    lines = [rf"\defresult{{{name}}}{{{number.text}}}" for name, number in found.items()]
    write_whole(folder / "numbers.tex", ("\n".join(lines) + "\n").encode())
    made = result_tables.all_tables(results) | costs.tables(results)
    made |= {"tab_ledger": paper_claims.tab_ledger(results, values(results))}
    made |= {"tab_guide": advice.tab_guide(_advice(results), advice.nothing(results))}
    for name, text in made.items():
        write_whole(folder / f"{name}.tex", text.encode())
    write_whole(folder / "discussion.tex", discussion(results).encode())
    write_whole(paths.RESULTS / results.name / "README.md", overview(results).encode())
    checked = check(results)
    lines = [rf"\defclaim{{{predicate}}}{{{str(truth).lower()}}}" for predicate, truth in checked.items()]
    write_whole(folder / "claims.tex", ("\n".join(lines) + "\n").encode())
    return checked


def check(results: Results) -> dict[str, bool]:
    """Evaluate the claims of every text that this study's thesis may hold."""
    study = results.name
    places = ("*.tex", "chapters/*.tex", f"discussions/{study}.tex", f"generated/{study}/discussion.tex")
    sources = [path for place in places for path in sorted(paths.THESIS.glob(place))]
    scanned = [claim for path in sources for claim in claims.scan(path)]
    return claims.check(scanned, values(results))


def overview(results: Results) -> str:
    """The study at a glance, in Markdown, for whoever browses the results."""
    titles = ("System", "Training sentences", "Micro F1 (95 % interval)", "Macro F1")
    titles += ("Answers not readable", "Latency, median", "Sentences/s")
    lines = [f"| {' | '.join(titles)} |", "|" + "---|" + "---:|" * (len(titles) - 1)]
    for row in results.undisturbed.summary.to_dict("records"):
        failed = "–" if pd.isna(row["failed"]) else f"{row['failed']:.1f} %"
        many = f", {row['corpus']}" if len(results.corpora) > 1 else ""
        cells = [f"{row['label']}{many}", f"{row['train_sentences']:,.0f}"]
        spread = latex.interval(row["micro_f1_low"], row["micro_f1_high"]).replace("--", "–")
        median = "–" if pd.isna(row["latency_p50_ms"]) else f"{row['latency_p50_ms']:,.0f} ms"
        cells += [f"{row['micro_f1']:.1f} ({spread})", f"{row['macro_f1']:.1f}", failed, median]
        cells += [f"{row['sentences_per_second']:,.1f}"]
        lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    commits = sorted({item.manifest["commit"] for item in results.stored})
    machines = sorted({item.manifest["machine"]["processor"] for item in results.stored})
    seeds = ", ".join(map(str, results.study.seeds))
    lines += ["", f"{', '.join(results.corpora)}, strict match, test; seed {seeds}; runs of commit "]
    lines[-1] += f"{', '.join(commits)} on {', '.join(machines)}."
    warned = [*few_documents(results.stored), *doubts(results.stored)]
    lines += [f"\n**Warning:** {line}." for line in warned]
    parts = [f"# {results.study.title}\n", f"{results.study.question}\n", "\n".join(lines) + "\n"]
    return "\n".join(filter(None, [*parts, advice.overview(_advice(results))]))


@computed_once
def _advice(results: Results) -> pd.DataFrame:
    return advice.advice(results, values(results))


# ---------------------------------------------------------------------------- numbers
# What a study may ask, or one beside it, by the name under which texts ask whether it was.
QUESTIONS = {"disturbed": robustness, "flexible": flexibility, "label_efficiency": label_efficiency}


@computed_once
def numbers(results: Results) -> dict[str, Number]:
    """Every result that the text may quote or judge, by key: of the study, of those beside it, and of models
    of full size; and who answers each of the `QUESTIONS`."""
    found = _of_study(results)
    for other in results.companions:
        found |= {f"{other.name}.{name}": number for name, number in _of_study(other).items()}
    for name, (value, digits) in benchmarks.fit_numbers().items():
        found[name] = Number(value, latex.number(value, digits))
    warnings = [results.warnings, *(other.warnings for other in results.companions)]
    found["study.warnings"] = Number("", r"\par ".join(map(escape, itertools.chain(*warnings))))
    for name, room in QUESTIONS.items():
        teller = results.first_with(room.asked)
        if number := room.asked(teller):
            found[f"study.{name}"] = _number(name, number)
        if teller is not results:
            sizes = sorted({item.metrics["sentences"] for item in teller.stored})
            texts = {"title": teller.study.title, "seeds": ", ".join(map(str, teller.study.seeds))}
            texts |= {"sentences": ", ".join(f"{size:,}" for size in sizes)}
            found |= {f"study.{name}.{part}": Number(text, escape(text)) for part, text in texts.items()}
    return found


def values(results: Results) -> dict[str, float | str]:
    """The same numbers as claims compare them."""
    return {name: number.value for name, number in numbers(results).items()}


def _of_study(results: Results) -> dict[str, Number]:
    study, protocol = results.study, results.study.protocol
    texts = {"title": study.title, "question": study.question, "kind": study.kind}
    texts |= {"commit": provenance.commit()}
    found = {f"study.{name}": Number(text, escape(text)) for name, text in texts.items()}
    many = {
        "tuned": len(results.tuning),
        "numbered": shown if (shown := len(findings.labels(results))) > latex.MANY else 0,
        "own_settings": setup_tables.many_trained(results.undisturbed),
        "selected": sum(item.run.selected_by == "loss" for item in results.stored),
        "ensembles": sum(bool(item.run.members) for item in results.stored),
    }
    # Defined where there are any: texts ask for that.
    found |= {f"study.{name}": _number(name, number) for name, number in many.items() if number}
    for name in ("resamples", "latency_sentences", "margin"):
        if (declared := getattr(protocol, name)) is not None:
            found[f"protocol.{name}"] = _number(name, declared)
    for dataset, report in results.audits.items():
        found |= _corpus_numbers(dataset, report["audit"], report["agreement"])
    for row in results.summary.to_dict("records"):
        found[key(row["dataset"], row["system"], "kind")] = Number(row["kind"], row["kind"])
        for name, value in row.items():
            if not isinstance(value, str) and (pd.notna(value) or name.endswith(("_low", "_high"))):
                measure = re.sub(r"_f1_(low|high)$", r"_f1.\1", name)
                found[key(row["dataset"], row["system"], measure)] = _number(measure, value)
    for row in results.types.to_dict("records"):
        for name in ("precision", "recall", "f1"):
            found[key(row["dataset"], row["system"], "type", row["type"], name)] = _number(name, row[name])
    for row in results.comparisons.to_dict("records"):
        name = key(row["dataset"], f"{row['a']}-vs-{row['b']}")
        found |= {
            f"{name}.{part}": _number("f1", row[part]) for part in ("difference", "low", "high", "smallest")
        }
        found |= {f"{name}.{p}": Number(row[p], latex.p_value(row[p])) for p in ("p", "p_holm")}
    for run, searched in results.tuning:
        name = key(run.dataset_name, run.system, "tuning")
        scores = [100 * trial["dev_f1"] for trial in searched["trials"]]
        found[f"{name}.trials"] = _number("trials", len(scores))
        found[f"{name}.declared"] = _number("dev_f1", scores[0])
        found[f"{name}.chosen"] = _number("dev_f1", scores[searched["best"]])
        found[f"{name}.minutes"] = Number(searched["seconds"] / 60, latex.number(searched["seconds"] / 60, 1))
    for parts, value in (robustness.numbers(results) | flexibility.numbers(results)).items():
        found[key(*parts)] = Number(value, latex.number(value, 1))
    for source in (confidence, contamination):
        for parts, value in source.numbers(results).items():
            digits = (
                3 if parts[-1] == "brier" else 2 if parts[-1] in ("temperature", "gap_low", "gap_high") else 1
            )
            found[key(*parts)] = Number(value, latex.number(value, digits))
    for parts, value in label_efficiency.numbers(results).items():
        digits = int(parts[-1] == "training_steps_ratio")
        found[key(*parts)] = Number(value, latex.number(value, digits))
    for parts, value in costs.numbers(results).items():
        found[key(*parts)] = Number(value, latex.significant(value))
    for parts, value in differences.numbers(results).items():
        whole = parts[-1] in ("gold", "predicted", "copied", "conflicting") or "errors" in parts
        found[key(*parts)] = Number(value, latex.number(value, 0 if whole else 1))
    return found | _told_apart(found)


def _told_apart(found: dict[str, Number]) -> dict[str, Number]:
    """The ends of intervals that rounding made equal, with more digits."""
    again = {}
    for name, low in found.items():
        high = found.get(f"{name.removesuffix('.low')}.high")
        if name.endswith(".low") and high and low.text == high.text and low.value < high.value:
            texts = latex.ends(low.value, high.value)
            again[name] = Number(low.value, texts[0])
            again[f"{name.removesuffix('.low')}.high"] = Number(high.value, texts[1])
    return again


def _corpus_numbers(dataset: str, audit: dict, agreement: dict | None) -> dict[str, Number]:
    found = {}
    for name in ("sentences", "mentions"):
        found[key(dataset, name)] = _number(name, sum(split[name] for split in audit["splits"].values()))
    for split, values in audit["splits"].items():
        for name, value in values.items():
            if isinstance(value, int | float):
                found[key(dataset, split, name)] = _number(name, value * (100 if name in SHARES else 1))
        for kind, value in values["types"].items():
            found[key(dataset, split, "type", kind, "mentions")] = _number("mentions", value)
    if agreement:
        alike = 1 - agreement["differing_sentences"] / agreement["sentences"]
        for name, value in {"f1": agreement["f1"], "sentences": alike}.items():
            found[key(dataset, "agreement", name)] = Number(100 * value, latex.percent(100 * value))
    return found


def _number(name: str, value: float) -> Number:
    if name in SHARES:
        return Number(value, latex.percent(value))
    return Number(
        value,
        latex.number(value, int(re.sub(r"\.(low|high)$", "", name) in DECIMALS or name.endswith("_f1"))),
    )


# ------------------------------------------------------------------------- discussion
def discussion(results: Results) -> str:
    """A summary in sentences, each true of these results."""
    shown = results.undisturbed
    sections = {
        "Quality": _quality(results),
        "Answers": _answers(shown),
        "Choosing a checkpoint": _checkpoints(shown),
        "Cost": _cost(shown),
    }
    bodies = {title: "\n".join(sentences) for title, sentences in sections.items()}
    text = "This chapter was written by the analysis. It says what the tables hold, and not what they mean.\n"
    return text + "".join(f"\n\\section{{{title}}}\n{body}\n" for title, body in bodies.items() if body)


def _result(name: str, spread: bool = False) -> str:
    low_high = rf" (\result{{{name}.low}} to \result{{{name}.high}})" if spread else ""
    return rf"\result{{{name}}}{low_high}"


def _claim(predicate: str, text: str) -> str:
    return rf"\claim{{{predicate}}}{{{text}}}"


def _on(row: dict[str, Any]) -> tuple[str, str]:
    """A row's key, and the words for its system and corpus."""
    return key(row["dataset"], row["system"]), f"{escape(row['label'])} on {escape(row['corpus'])}"


def _quality(results: Results) -> Iterator[str]:
    metric = results.study.protocol.primary_metric
    score = rf"strict {metric.removesuffix('_f1')} \Fone"
    for _, block in results.undisturbed.summary.groupby("corpus", sort=False):
        best, *others = block.sort_values(metric, ascending=False, kind="stable").to_dict("records")
        name, who = _on(best)
        name = f"{name}.{metric}"
        if not others:
            yield _claim(f"{name}.low <= {name}", f"{who} reaches a {score} of {_result(name, True)}.")
            continue
        keys = [key(row["dataset"], row["system"], metric) for row in others]
        predicate = " and ".join(f"{name} >= {other}" for other in keys)
        listed = (f"{escape(row['label'])} {_result(k, True)}" for k, row in zip(keys, others, strict=True))
        text = f"No system has a higher {score} than {who}, {_result(name, True)}"
        yield _claim(predicate, f"{text}. The others: {'; '.join(listed)}.")
    for row in results.comparisons.to_dict("records"):
        name = key(row["dataset"], f"{row['a']}-vs-{row['b']}")
        a, b, corpus = (escape(row[column]) for column in ("label_a", "label_b", "corpus"))
        text = f"Between {a} and {b} on {corpus}, the difference of {_result(f'{name}.difference')} points "
        text += rf"(\result{{{name}.low}} to \result{{{name}.high}}) "
        sign, verdict = (
            ("<", "is more than chance explains") if row["p_holm"] < ALPHA else (">=", "may be chance")
        )
        p = rf"corrected $p$ {_result(f'{name}.p_holm')}"
        yield _claim(f"{name}.p_holm {sign} {ALPHA}", f"{text}{verdict} ({p}).")


def _answers(results: Results) -> Iterator[str]:
    for row in results.summary[results.summary["approach"] == "generation"].to_dict("records"):
        name, who = _on(row)
        if row["failed"] == 0:
            yield _claim(f"{name}.failed == 0", f"Every answer of {who} could be read.")
        else:
            failed = _result(f"{name}.failed")
            yield _claim(f"{name}.failed > 0", f"Of the answers of {who}, {failed} could not be read.")
        unknown, ungrounded = (
            _result(f"{name}.dropped.{reason}") for reason in ("unknown_type", "ungrounded")
        )
        yield (
            f"Of the items in them, {ungrounded} were not in the sentence and {unknown} had a type that was "
            "not asked for."
        )


def _checkpoints(results: Results) -> Iterator[str]:
    for row in results.summary.dropna(subset="dev_f1").to_dict("records"):
        name, who = _on(row)
        start = f"For {who}, the lowest loss would have chosen"
        some = " in at least one run" if row["seeds"] > 1 else ""
        if row["loss_agrees"] == 100:
            yield _claim(
                f"{name}.loss_agrees == 100", rf"{start} the checkpoint that the highest \Fone chose."
            )
        else:
            scores = f"{_result(f'{name}.dev_f1_at_lowest_loss')} and not {_result(f'{name}.dev_f1')}"
            text = rf"{start} another checkpoint{some}, with a dev \Fone of {scores}."
            yield _claim(f"{name}.loss_agrees < 100", text)


def _cost(results: Results) -> Iterator[str]:
    for corpus, block in results.summary.groupby("corpus", sort=False):
        known = block.dropna(subset="latency_p50_ms")
        rows = known.sort_values("latency_p50_ms", kind="stable").to_dict("records")
        for fast, slow in itertools.pairwise(rows):
            a, b = (f"{_on(row)[0]}.latency_p50_ms" for row in (fast, slow))
            one, other = escape(fast["label"]), escape(slow["label"])
            medians = rf"(medians {_result(a)} and {_result(b)}\,ms)"
            sentence = f"a sentence of {escape(corpus)} {medians}."
            systems = (costs.timed(results, row["dataset"], row["system"]) for row in (slow, fast))
            times = costs.ratio(*systems, "median")
            if times is None:  # of different machines
                continue
            least = costs.at_least(times)
            if times.low <= 1:
                wide = math.ceil(100 * times.estimate / times.low) / 100
                text = f"No difference in time is shown between {one} and {other} for {sentence}"
                yield _claim(f"{b} <= {wide} * {a}", text)
            else:
                many = f"at least {least} times as long as" if least > 1 else "longer than"
                yield _claim(f"{b} > {least} * {a}", f"{other} takes {many} {one} for {sentence}")
