r"""The findings of a study in a few sentences (LaTeX): one for each section of results, an abstract and a
conclusion. The thesis prints them with ``\lead{name}``; `thesis/leads/<study>.tex` may replace any of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ner_utils.analyses import QUESTIONS, costs, flexibility, label_efficiency, robustness
from ner_utils.rendering.latex import escape, listed
from ner_utils.results.study import ALPHA, Results
from ner_utils.thesis.claims import claim, compared, key, result
from ner_utils.thesis.numbers import result_values

Row = dict[str, Any]
Known = Mapping[str, Any]  # results by key
LISTED = 5  # comparisons, at most, that are named one by one


def leads(results: Results) -> dict[str, str]:
    """What the results say, by section; sections without a finding are left out. Sections of questions that
    a companion study answers speak of that study."""
    shown, known = results.undisturbed, result_values(results)
    made = {
        "quality": _quality(shown),
        "conventions": _conventions(shown),
        "ensembles": _ensembles(shown),
        "types": _types(shown),
        "differences": _differences(results, known),
        "confidence": _confidence(results, known),
        "contamination": _contamination(results, known),
        "comparisons": _comparisons(results),
        "answers": _answers(shown),
        "learning": _learning(shown),
        "cost": _cost(results),
    }
    for name, make in OF_QUESTIONS.items():
        study = results.first_with(QUESTIONS[name].count_systems)
        made[name] = make(study, known, "" if study is results else f"{study.name}.")
    texts = {name: " ".join(sentences) for name, sentences in made.items()}
    for name, parts in SUMMARIES.items():
        texts[name] = " ".join(filter(None, (texts[part] for part in parts)))
    return {name: text for name, text in texts.items() if text}


# Without `thesis/leads/<study>.tex`, these consist of the leads of some sections.
SUMMARIES = {
    "abstract": ("quality", "comparisons", "cost"),
    "conclusion": ("quality", "comparisons", "differences", "answers", "cost"),
}


def _on(row: Row, results: Results) -> str:
    """The corpus of a row, where a study has several."""
    return f" on {escape(row['corpus'])}" if len(results.study.datasets) > 1 else ""


def _ranked(results: Results) -> Iterator[list[Row]]:
    """The systems on each corpus, the highest primary score first."""
    metric = results.study.protocol.primary_metric
    for _, block in results.summary.groupby("corpus", sort=False):
        yield block.sort_values(metric, ascending=False, kind="stable").to_dict("records")


def _pairs(results: Results) -> Iterator[Row]:
    """The comparison that is declared first, on each corpus."""
    frame = results.comparisons
    return iter(frame.drop_duplicates("dataset").to_dict("records"))


def _names(pair: Row) -> tuple[str, str]:
    return escape(pair["label_a"]), escape(pair["label_b"])


def _quality(results: Results) -> Iterator[str]:
    metric = results.study.protocol.primary_metric
    score = rf"strict {metric.removesuffix('_f1')} \Fone"
    for best, *others in _ranked(results):
        names = [key(row["dataset"], row["system"], metric) for row in (best, *others)]
        scores = [result(name, name) for name in names]
        text = rf"{escape(best['label'])} has the highest {score}{_on(best, results)}: {scores[0]}"
        if others:
            text += f", before {escape(others[0]['label'])} with {scores[1]}"
        predicate = " and ".join(f"{names[0]} >= {other}" for other in names[1:])
        yield claim(predicate or f"{names[0]} >= 0", f"{text}.")


def _conventions(results: Results) -> Iterator[str]:
    for best, *_ in _ranked(results):
        at = key(best["dataset"], best["system"])
        strict, partial, strings = (f"{at}.{rule}_f1" for rule in ("micro", "partial", "string_set"))
        text = (
            rf"For {escape(best['label'])}{_on(best, results)}, micro \Fone is {result(strict)} with strict "
        )
        text += f"matching and rises to {result(partial)} with half a point for an overlap; for sets of "
        yield claim(f"{partial} >= {strict}", f"{text}strings, it is {result(strings)}.")


def _ensembles(results: Results) -> Iterator[str]:
    runs = [item.run for item in results.stored if item.run.members]
    for run in {(run.dataset_name, run.system): run for run in reversed(runs)}.values():
        score = key(run.dataset_name, run.system, "micro_f1")
        members = {member.label: key(run.dataset_name, member.system, "micro_f1") for member in run.members}
        means = results.summary.set_index(["dataset", "system"])["micro_f1"].loc[run.dataset_name]
        ahead = means[run.system] > max(means[member.system] for member in run.members)
        verb = "scores higher than each member" if ahead else "does not score higher than each member"
        best = f"max({', '.join([*members.values(), '0'])})"
        scores = listed([f"{escape(label)} {result(name)}" for label, name in members.items()])
        text = rf"{escape(run.label)} {verb}: micro \Fone {result(score, score)}, against {scores}."
        yield claim(f"{score} {'>' if ahead else '<='} {best}", text)


def _types(results: Results) -> Iterator[str]:
    for best, *_ in _ranked(results):
        frame, at = results.types, key(best["dataset"], best["system"], "type")
        frame = frame[(frame["dataset"] == best["dataset"]) & (frame["system"] == best["system"])]
        high, low = (frame.loc[frame["f1"].agg(find), "type"] for find in ("idxmax", "idxmin"))
        ends = [f"{at}.{key(kind)}.f1" for kind in (high, low)]
        text = f"{escape(best['label'])} scores highest on the type {escape(high)} ({result(ends[0])}) and "
        text += f"lowest on {escape(low)} ({result(ends[1])}){_on(best, results)}."
        yield claim(f"{ends[0]} >= {ends[1]}", text)


def _differences(results: Results, known: Known) -> Iterator[str]:
    words = {"1 token": "of one token", "3 or more": "of three or more tokens"}
    for pair in _pairs(results):
        names = {compared(pair, "mention length", bucket): text for bucket, text in words.items()}
        gains = {name: known.get(f"{name}.difference", math.nan) for name in names}
        if any(map(math.isnan, gains.values())):  # no such mentions, or a system on disturbed sentences
            continue
        more, less = sorted(gains, key=gains.__getitem__, reverse=True)
        spread = {name: result(f"{name}.difference", name) for name in names}
        a, b = _names(pair)
        text = (
            rf"The \Fone of {a} minus that of {b}{_on(pair, results)} is larger for mentions {names[more]}, "
        )
        text += f"{spread[more]}, than for mentions {names[less]}, {spread[less]}."
        yield claim(f"{more}.difference >= {less}.difference", text)


def _confidence(results: Results, known: Known) -> Iterator[str]:
    for pair in _pairs(results):
        parts, conditions = [], []
        for side in ("a", "b"):
            at = key(pair["dataset"], pair[side], "confidence")
            mean, right = f"{at}.before.mean", f"{at}.right"
            if right in known:
                over = known[mean] > known[right]
                conditions.append(f"{mean} {'>' if over else '<='} {right}")
                text = (
                    f"{escape(pair[f'label_{side}'])} is {'overconfident' if over else 'not overconfident'}"
                )
                parts.append(rf"{text} (mean {result(mean)}\,\%, right {result(right)}\,\%)")
        if parts:
            yield claim(" and ".join(conditions), f"{listed(parts)}{_on(pair, results)}.")


def _contamination(results: Results, known: Known) -> Iterator[str]:
    for dataset in results.study.datasets:
        low, high = (key(dataset, "contamination", end) for end in ("gap_low", "gap_high"))
        if low in known:
            alike = known[low] <= 0 <= known[high]
            predicate = f"{low} <= 0 and {high} >= 0" if alike else f"{low} > 0 or {high} < 0"
            text = f"The pretrained models complete sentences of {escape(results.corpus_label(dataset))} "
            text += f"{'no better' if alike else 'differently'} than their counterparts"
            yield claim(predicate, f"{text} ({result(low)} to {result(high)} words).")


def _comparisons(results: Results) -> Iterator[str]:
    rows = results.comparisons.to_dict("records")
    if not rows:
        return
    found, conditions = [], []
    for row in rows:
        name = compared(row)
        better, worse = _names(row) if row["difference"] > 0 else reversed(_names(row))
        conditions.append(f"{name}.p_holm {'<' if row['p_holm'] < ALPHA else '>='} {ALPHA}")
        if row["p_holm"] < ALPHA:
            found.append(f"{better} over {worse}{_on(row, results)} ({result(f'{name}.points')} points)")
    number = f"Of {len(rows)} declared comparisons, {len(found) or 'none'}"
    verb = "shows" if len(found) < 2 else "show"
    text = f"{number} {verb} a statistically significant difference"
    if found and len(found) <= LISTED:
        text += f": {listed(found)}"
    yield claim(" and ".join(conditions), f"{text}.")


def _answers(results: Results) -> Iterator[str]:
    """The largest shares of unreadable answers and of ungrounded items among trained systems that write."""
    for _, block in results.summary.groupby("corpus", sort=False):
        rows = block[(block["kind"] == "generator") & block["dev_f1"].notna()].to_dict("records")
        parts, conditions = [], []
        for measure, what in (
            ("failed", "unreadable answers"),
            ("dropped.ungrounded", "items that are not in the sentence"),
        ):
            worst = max(rows, key=lambda row: row[measure], default=None)
            if worst is not None:
                name = key(worst["dataset"], worst["system"], measure)
                parts.append(f"the largest share of {what} is {result(name)}, by {escape(worst['label'])}")
                conditions += [f"{name} >= {key(row['dataset'], row['system'], measure)}" for row in rows]
        if parts:
            yield claim(
                " and ".join(conditions),
                f"Among trained systems that write{_on(worst, results)}, {'; '.join(parts)}.",
            )


def _learning(results: Results) -> Iterator[str]:
    rows = results.summary.dropna(subset="dev_f1").to_dict("records")
    if not rows:
        return
    agree = [row for row in rows if row["loss_agrees"] == 100]
    conditions = [
        f"{key(row['dataset'], row['system'], 'loss_agrees')} {'==' if row in agree else '<'} 100"
        for row in rows
    ]
    number = f"For {len(agree) or 'none'} of {len(rows)} trained systems"
    text = (
        rf"{number}, the lowest loss and the highest \Fone on the development set choose the same checkpoint"
    )
    yield claim(" and ".join(conditions), f"{text} in all runs.")


def _cost(results: Results) -> Iterator[str]:
    for pair in _pairs(results):
        systems = {side: costs.timed(results, pair["dataset"], pair[side]) for side in ("a", "b")}
        by_order: dict[tuple[str, str], list[str]] = {}
        conditions = []
        for how, what in (("median", "for a sentence"), ("batches", "in batches"), ("training", "to train")):
            fast, slow = sorted(systems, key=lambda side: systems[side].mean[how])
            ratio = costs.ratio(systems[slow], systems[fast], how)
            if ratio is None or ratio.low <= 1:
                continue
            # The ratio is stored as that of a over b.
            name, least = f"{compared(pair)}.time.{how}", costs.at_least(ratio)
            conditions.append(f"{name}.low >= {least}" if slow == "a" else f"{name}.high <= 1 / {least}")
            many = f"at least {least} times as long" if least > 1 else "longer"
            by_order.setdefault((slow, fast), []).append(f"{many} {what}")
        label = {side: escape(system.label) for side, system in systems.items()}
        takes = [
            f"{label[slow]}, compared with {label[fast]}, takes {listed(parts)}"
            for (slow, fast), parts in by_order.items()
        ]
        if takes:
            yield claim(" and ".join(conditions), f"{'; '.join(takes)}{_on(pair, results)}.")


def _flexible(results: Results, known: Known, prefix: str) -> Iterator[str]:
    frame = flexibility.scores(results)
    if "held_out.f1" not in frame:
        return
    frame = frame[frame["ways"].str.contains("held out")]
    for _, block in frame.groupby("corpus", sort=False):
        rows = block.sort_values("held_out.f1", ascending=False, kind="stable").to_dict("records")
        names = [prefix + key(row["dataset"], row["system"], "flexibility.held_out") for row in rows]
        text = r"No system that did not learn the types held out has a higher \Fone on them than "
        text += f"{escape(rows[0]['label'])}{_on(rows[0], results)}: "
        text += f"{result(f'{names[0]}.f1', names[0])}."
        yield claim(" and ".join(f"{names[0]}.f1 >= {name}.f1" for name in names), text)


def _labels(results: Results, known: Known, prefix: str) -> Iterator[str]:
    frame = label_efficiency.series(results)
    for name, rows in frame.groupby("series", sort=False) if len(frame) else ():
        few, many = (prefix + key(row["dataset"], row["system"]) for _, row in rows.iloc[[0, -1]].iterrows())
        rises = rows["micro_f1"].iloc[-1] > rows["micro_f1"].iloc[0]
        text = rf"The \Fone of {escape(name)} {'rises' if rises else 'does not rise'} from "
        text += f"{result(f'{few}.micro_f1')} with {result(f'{few}.train_sentences')} sentences to "
        text += f"{result(f'{many}.micro_f1')} with {result(f'{many}.train_sentences')}."
        yield claim(f"{many}.micro_f1 {'>' if rises else '<='} {few}.micro_f1", text)


def _disturbed(results: Results, known: Known, prefix: str) -> Iterator[str]:
    frame = robustness.changes(results)
    for (dataset, base), rows in frame.groupby(["dataset", "base_system"], sort=False) if len(frame) else ():
        name = prefix + key(dataset, base, "robustness", "mean_change")
        text = rf"On average, disturbances {'lower' if known[name] < 0 else 'do not lower'} the \Fone of "
        text += f"{escape(rows['base'].iloc[0])} (mean change {result(name, name)} points)."
        yield claim(f"{name} {'<' if known[name] < 0 else '>='} 0", text)


OF_QUESTIONS: dict[str, Callable[[Results, Known, str], Iterator[str]]] = {
    "flexible": _flexible,
    "label_efficiency": _labels,
    "disturbed": _disturbed,
}
