"""What the thesis takes from a study: numbers, claims, tables, and a plain discussion.

The discussion states what the tables show and interprets nothing. Its judgements are claims, as an
author's are: they hold by construction, and are checked nevertheless.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

from ner_utils import claims, latex, paths, settings, tables
from ner_utils.numbers import Number, key, numbers
from ner_utils.study import Results

ALPHA = 0.05


def write(results: Results) -> dict[str, bool]:
    """Write everything below ``thesis/generated/<study>``; returns the claims and their truth.

    Raises `claims.ClaimError` on a claim that cannot be evaluated, the other files being written by
    then: numbers.tex shows which keys there are.
    """
    folder = paths.THESIS / "generated" / results.name
    found = numbers(results)
    latex.write(folder / "numbers.tex", latex.results({name: value.text for name, value in found.items()}))
    for name, text in (tables.all_tables(results) | settings.all_tables(results)).items():
        latex.write(folder / f"{name}.tex", text)
    latex.write(folder / "discussion.tex", discussion(results, found))
    checked = check(results.name, found)
    latex.write(folder / "claims.tex", latex.claims(checked))
    return checked


def check(study: str, found: dict[str, Number]) -> dict[str, bool]:
    """Evaluate the claims of every text that this study's thesis may hold."""
    sources = [*paths.THESIS.glob("*.tex"), *paths.THESIS.glob("chapters/*.tex")]
    sources += [paths.THESIS / "discussions" / f"{study}.tex", _generated(study)]
    values = {name: number.value for name, number in found.items()}
    scanned = [claim for path in sorted(sources) if path.is_file() for claim in claims.scan(path)]
    return claims.check(scanned, values)


def _generated(study: str) -> Path:
    return paths.THESIS / "generated" / study / "discussion.tex"


# ------------------------------------------------------------------------- discussion
def discussion(results: Results, found: dict[str, Number]) -> str:
    """A summary in sentences, each true of these results."""
    sections = {
        "Quality": _quality(results, found),
        "Answers": _answers(results, found),
        "Choosing a checkpoint": _checkpoints(results),
        "Cost": _cost(results, found),
    }
    text = [
        "This chapter was written by the analysis. It puts into sentences what the tables show, and "
        "does not say what it means."
    ]
    for title, sentences in sections.items():
        body = "\n".join(sentences)
        if body:
            text.append(f"\\section{{{title}}}\n{body}")
    return "\n\n".join(text) + "\n"


def _result(name: str) -> str:
    return rf"\result{{{name}}}"


def _claim(predicate: str, text: str) -> str:
    return rf"\claim{{{predicate}}}{{{text}}}"


def _quality(results: Results, found: dict[str, Number]) -> Iterator[str]:
    metric = results.study.protocol.primary_metric
    name = rf"strict {metric.removesuffix('_f1')} \Fone"
    for _, block in results.summary.groupby("corpus", sort=False):
        rows = block.sort_values(metric, ascending=False, kind="stable").to_dict("records")
        keys = [key(row["dataset"], row["system"], metric) for row in rows]
        score = [f"{_result(one)} ({_result(f'{one}.low')} to {_result(f'{one}.high')})" for one in keys]
        corpus, best = latex.escape(rows[0]["corpus"]), latex.escape(rows[0]["label"])
        if len(rows) == 1:
            yield f"On {corpus}, {best} reaches a {name} of {score[0]}."
            continue
        predicate = " and ".join(f"{keys[0]} >= {other}" for other in keys[1:])
        yield _claim(predicate, f"On {corpus}, no system has a higher {name} than {best}, with {score[0]}.")
        others = [
            f"{latex.escape(row['label'])} {text}" for row, text in zip(rows[1:], score[1:], strict=True)
        ]
        yield f"The others follow: {'; '.join(others)}."
    for row in results.comparisons.to_dict("records"):
        yield _comparison(row, found)


def _comparison(row: dict, found: dict[str, Number]) -> str:
    name = key(row["dataset"], f"{row['a']}-vs-{row['b']}")
    a, b, corpus = (latex.escape(row[column]) for column in ("label_a", "label_b", "corpus"))
    size = (
        f"the difference of {_result(f'{name}.difference')} points "
        f"({_result(f'{name}.low')} to {_result(f'{name}.high')})"
    )
    where = rf"Between {a} and {b} on {corpus}, {size}"
    p = rf"corrected $p$ {_result(f'{name}.p_holm')}"
    if found[f"{name}.p_holm"].value < ALPHA:
        return _claim(f"{name}.p_holm < {ALPHA}", f"{where} is more than chance explains ({p}).")
    return _claim(f"{name}.p_holm >= {ALPHA}", f"{where} may be chance ({p}).")


def _answers(results: Results, found: dict[str, Number]) -> Iterator[str]:
    for row in results.summary.query("approach == 'generation'").to_dict("records"):
        name = key(row["dataset"], row["system"])
        who = f"{latex.escape(row['label'])} on {latex.escape(row['corpus'])}"
        if found[f"{name}.failed"].value == 0:
            yield _claim(f"{name}.failed == 0", f"Every answer of {who} could be read.")
        else:
            yield _claim(
                f"{name}.failed > 0",
                f"Of the answers of {who}, {_result(f'{name}.failed')} could not be read.",
            )
        yield (
            f"Of the items in them, {_result(f'{name}.ungrounded_rate')} were not in the sentence and "
            f"{_result(f'{name}.dropped.unknown_type')} had a type that was not asked for."
        )


def _checkpoints(results: Results) -> Iterator[str]:
    for row in results.summary.dropna(subset="dev_f1").to_dict("records"):
        name = key(row["dataset"], row["system"])
        who = f"{latex.escape(row['label'])} on {latex.escape(row['corpus'])}"
        scores = _result(f"{name}.dev_f1"), _result(f"{name}.dev_f1_at_lowest_loss")
        if row["loss_agrees"] == 100:
            yield _claim(
                f"{name}.loss_agrees == 100",
                rf"For {who}, the lowest loss would have chosen the same checkpoint as the highest \Fone.",
            )
        else:
            yield _claim(
                f"{name}.loss_agrees < 100",
                rf"For {who}, the lowest loss would have chosen another checkpoint, with a dev \Fone of "
                f"{scores[1]} and not {scores[0]}.",
            )


def _cost(results: Results, found: dict[str, Number]) -> Iterator[str]:
    for corpus, block in results.summary.groupby("corpus", sort=False):
        rows = block.sort_values("latency_p50_ms", kind="stable").to_dict("records")
        for fast, slow in itertools.pairwise(rows):
            keys = [key(row["dataset"], row["system"], "latency_p50_ms") for row in (fast, slow)]
            times = int(found[keys[1]].value // found[keys[0]].value)
            times -= times % 10 ** max(0, len(str(times)) - 2)  # two digits say enough
            labels = [latex.escape(row["label"]) for row in (fast, slow)]
            shown = [f"{_result(one)}\\,ms" for one in keys]
            if times < 2:
                yield _claim(
                    f"{keys[1]} < 2 * {keys[0]}",
                    f"{labels[0]} and {labels[1]} take about equally long for a sentence of "
                    f"{latex.escape(corpus)} ({shown[0]} and {shown[1]}, medians).",
                )
            else:
                yield _claim(
                    f"{keys[1]} >= {times} * {keys[0]}",
                    f"{labels[1]} takes at least {times} times as long for a sentence of "
                    f"{latex.escape(corpus)} as {labels[0]} ({shown[1]} against {shown[0]}, medians).",
                )
