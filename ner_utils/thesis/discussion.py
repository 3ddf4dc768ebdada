"""The summary of a study that the thesis prints, and its overview for readers of the results.

Both state what the tables show and interpret nothing; judgements are claims, which the thesis checks.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from ner_utils.analyses import costs
from ner_utils.rendering import latex
from ner_utils.rendering.latex import escape
from ner_utils.results.cautions import doubts, few_documents
from ner_utils.results.study import ALPHA, Results
from ner_utils.thesis import advice
from ner_utils.thesis.claims import key


def overview(results: Results) -> str:
    """The study at a glance, in Markdown, for readers of the results."""
    titles = ("System", "Training sentences", "Micro F1 (95 % interval)", "Macro F1")
    titles += ("Answers not readable", "Latency, median", "Sentences/s")
    lines = [f"| {' | '.join(titles)} |", "|" + "---|" + "---:|" * (len(titles) - 1)]
    for row in results.undisturbed.summary.to_dict("records"):
        failed = "–" if pd.isna(row["failed"]) else f"{row['failed']:.1f} %"
        corpus = f", {row['corpus']}" if len(results.corpora) > 1 else ""
        cells = [f"{row['label']}{corpus}", f"{row['train_sentences']:,.0f}"]
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
    warnings = [*few_documents(results.stored), *doubts(results.stored)]
    lines += [f"\n**Warning:** {line}." for line in warnings]
    parts = [f"# {results.study.title}\n", f"{results.study.question}\n", "\n".join(lines) + "\n"]
    return "\n".join(filter(None, [*parts, advice.overview(results)]))


def discussion(results: Results) -> str:
    """A summary in sentences (LaTeX), each true of these results."""
    shown = results.undisturbed
    sections = {
        "Quality": _quality(results),
        "Answers": _answers(shown),
        "Choosing a checkpoint": _checkpoints(shown),
        "Cost": _cost(shown),
    }
    bodies = {title: "\n".join(sentences) for title, sentences in sections.items()}
    text = "This chapter is generated. It puts the tables into sentences, without interpretation.\n"
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
        name, system = _on(best)
        name = f"{name}.{metric}"
        if not others:
            yield _claim(f"{name}.low <= {name}", f"{system} reaches a {score} of {_result(name, True)}.")
            continue
        keys = [key(row["dataset"], row["system"], metric) for row in others]
        predicate = " and ".join(f"{name} >= {other}" for other in keys)
        listed = (f"{escape(row['label'])} {_result(k, True)}" for k, row in zip(keys, others, strict=True))
        text = f"No system has a higher {score} than {system}, {_result(name, True)}"
        yield _claim(predicate, f"{text}. The other systems: {'; '.join(listed)}.")
    for row in results.comparisons.to_dict("records"):
        name = key(row["dataset"], f"{row['a']}-vs-{row['b']}")
        a, b, corpus = (escape(row[column]) for column in ("label_a", "label_b", "corpus"))
        sign, verdict = ("<", "is") if row["p_holm"] < ALPHA else (">=", "is not")
        text = f"The difference between {a} and {b} on {corpus}, {_result(f'{name}.difference')} points "
        text += rf"(\result{{{name}.low}} to \result{{{name}.high}}), {verdict} statistically significant "
        text += rf"(corrected $p$ {_result(f'{name}.p_holm')})."
        yield _claim(f"{name}.p_holm {sign} {ALPHA}", text)


def _answers(results: Results) -> Iterator[str]:
    for row in results.summary[results.summary["approach"] == "generation"].to_dict("records"):
        name, system = _on(row)
        if row["failed"] == 0:
            yield _claim(f"{name}.failed == 0", f"Every answer of {system} could be read.")
        else:
            failed = _result(f"{name}.failed")
            yield _claim(f"{name}.failed > 0", f"Of the answers of {system}, {failed} could not be read.")
        ungrounded, unknown = (f"{name}.dropped.{reason}" for reason in ("ungrounded", "unknown_type"))
        text = (
            f"Of the items in its answers, {_result(ungrounded)} were dropped because their text is not in "
        )
        yield text + f"the sentence, and {_result(unknown)} because of an unknown type."


def _checkpoints(results: Results) -> Iterator[str]:
    for row in results.summary.dropna(subset="dev_f1").to_dict("records"):
        name, system = _on(row)
        if row["loss_agrees"] == 100:
            text = rf"For {system}, the lowest dev loss and the highest dev \Fone choose the same checkpoint."
            yield _claim(f"{name}.loss_agrees == 100", text)
        else:
            runs = " in at least one run" if row["seeds"] > 1 else ""
            scores = f"{_result(f'{name}.dev_f1_at_lowest_loss')} instead of {_result(f'{name}.dev_f1')}"
            text = f"For {system}, the lowest dev loss chooses another checkpoint than the highest dev "
            text += rf"\Fone{runs}; its dev \Fone is {scores}."
            yield _claim(f"{name}.loss_agrees < 100", text)


def _cost(results: Results) -> Iterator[str]:
    """A sentence on the latency of each pair of systems that are neighbours in speed."""
    for corpus, block in results.summary.groupby("corpus", sort=False):
        known = block.dropna(subset="latency_p50_ms")
        rows = known.sort_values("latency_p50_ms", kind="stable").to_dict("records")
        for fast, slow in itertools.pairwise(rows):
            systems = (costs.timed(results, row["dataset"], row["system"]) for row in (slow, fast))
            times = costs.ratio(*systems, "median")
            if times is None:  # of different machines
                continue
            a, b = (f"{_on(row)[0]}.latency_p50_ms" for row in (fast, slow))
            one, other = escape(fast["label"]), escape(slow["label"])
            medians = rf"(medians {_result(a)} and {_result(b)}\,ms)"
            sentence = f"for a sentence of {escape(corpus)} {medians}."
            least = costs.at_least(times)
            if times.low <= 1:
                wide = math.ceil(100 * times.estimate / times.low) / 100
                text = f"No difference in time is shown between {one} and {other} {sentence}"
                yield _claim(f"{b} <= {wide} * {a}", text)
            else:
                longer = f"at least {least} times as long as" if least > 1 else "longer than"
                yield _claim(f"{b} > {least} * {a}", f"{other} takes {longer} {one} {sentence}")
