r"""The findings of a study in a few sentences (LaTeX): one for each section of results, an abstract and a
conclusion. The thesis prints them with ``\lead{name}``; `thesis/leads/<study>.tex` may replace any of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ner_utils.analyses import QUESTIONS, costs, flexibility, label_efficiency, robustness
from ner_utils.rendering.latex import escape, listed
from ner_utils.results.study import ALPHA, Results
from ner_utils.thesis.claims import claim, compared, key, result
from ner_utils.thesis.numbers import result_values

Row = dict[str, Any]
Known = Mapping[str, Any]  # results by key
LISTED = 9  # comparisons, at most, that are named one by one


def leads(results: Results) -> dict[str, str]:
    """What the results say, by section; sections without a finding are left out. Sections of questions that
    a companion study answers speak of that study."""
    shown, known = results.undisturbed, result_values(results)
    made = {
        "quality": _quality(results),
        "conventions": _conventions(shown),
        "ensembles": _ensembles(shown),
        "types": _types(results),
        "differences": _differences(results, known),
        "confidence": _confidence(results, known),
        "contamination": _contamination(results, known),
        "comparisons": _comparisons(results),
        "answers": _answers(shown),
        "learning": _learning(shown),
        "cost": _cost(results),
    }
    of_questions = {"flexible": _flexible, "label_efficiency": _labels, "disturbed": _disturbed}
    for name, make in of_questions.items():
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


def _key(row: Row, *parts: str) -> str:
    """A key of a system, given by a row of `Results.summary`."""
    return key(row["dataset"], row["system"], *parts)


def _names(pair: Row) -> tuple[str, str]:
    return escape(pair["label_a"]), escape(pair["label_b"])


def _quality(results: Results) -> Iterator[str]:
    """The scores of the first declared pair, then the highest scores."""
    metric = results.study.protocol.primary_metric
    score = rf"strict {metric.removesuffix('_f1')} \Fone"
    for pair in _pairs(results):
        high, low = "ab" if pair["difference"] > 0 else "ba"
        better, worse = (key(pair["dataset"], pair[side], metric) for side in (high, low))
        text = f"{escape(pair[f'label_{high}'])} reaches a {score} of {result(better, better)}"
        text += f"{_on(pair, results)}, {escape(pair[f'label_{low}'])} one of {result(worse, worse)}."
        yield claim(f"{better} >= {worse}", text)
    for best, *others in _ranked(results.undisturbed):
        name, *names = (_key(row, metric) for row in (best, *others))
        predicate = " and ".join(f"{name} >= {other}" for other in names or [0])
        text = f"{escape(best['label'])} has the highest{_on(best, results)}: {result(name)}."
        yield claim(predicate, text)


def _conventions(results: Results) -> Iterator[str]:
    for best, *_ in _ranked(results):
        strict, partial, strings = (_key(best, f"{rule}_f1") for rule in ("micro", "partial", "string_set"))
        text = f"{escape(best['label'])}{_on(best, results)} scores {result(strict)} by strict matching, "
        text += f"{result(partial)} with half a point for any overlap, "
        text += f"and {result(strings)} on sets of strings."
        yield claim(f"{partial} >= {strict}", text)


def _ensembles(results: Results) -> Iterator[str]:
    for run in (run for run in reversed(results.systems) if run.members):
        score = key(run.dataset_name, run.system, "micro_f1")
        members = {member.label: key(run.dataset_name, member.system, "micro_f1") for member in run.members}
        means = results.summary.set_index(["dataset", "system"])["micro_f1"].loc[run.dataset_name]
        ahead = means[run.system] > max(means[member.system] for member in run.members)
        verb = f"{'scores' if ahead else 'does not score'} higher than each member"
        best = f"max({', '.join([*members.values(), '0'])})"
        scores = listed([f"{escape(label)} {result(name)}" for label, name in members.items()])
        text = rf"{escape(run.label)} {verb}: micro \Fone {result(score, score)}, against {scores}."
        yield claim(f"{score} {'>' if ahead else '<='} {best}", text)


def _types(results: Results) -> Iterator[str]:
    """On which types each of the first declared pair scores higher."""
    scores = results.types.set_index(["dataset", "system", "type"])["f1"].sort_index()
    for pair in _pairs(results):
        a, b = (scores.loc[pair["dataset"], pair[side]] for side in "ab")
        higher, conditions = [], []
        for kind in a.index:
            first, second = (key(pair["dataset"], pair[side], "type", kind, "f1") for side in "ab")
            conditions.append(f"{first} {'>' if a[kind] > b[kind] else '<='} {second}")
            higher += [escape(kind)] if a[kind] > b[kind] else []
        which = f": {listed(higher)}" if higher else ""
        text = f"{_names(pair)[0]} scores higher than {_names(pair)[1]} on {len(higher)} of {len(a)} types"
        yield claim(" and ".join(conditions), f"{text}{_on(pair, results)}{which}.")


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
        text = rf"The \Fone of {a} minus that of {b}{_on(pair, results)} is larger for mentions "
        text += f"{names[more]}, {spread[more]}, than for mentions {names[less]}, {spread[less]}."
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
                text = f"{escape(pair[f'label_{side}'])} is {'' if over else 'not '}overconfident"
                parts.append(rf"{text} (mean {result(mean)}\,\%, right {result(right)}\,\%)")
        if parts:
            yield claim(" and ".join(conditions), f"{listed(parts)}{_on(pair, results)}.")


def _contamination(results: Results, known: Known) -> Iterator[str]:
    for dataset in results.study.datasets:
        low, high = (key(dataset, "contamination", end) for end in ("gap_low", "gap_high"))
        if low in known:
            alike = known[low] <= 0 <= known[high]
            predicate = f"{low} <= 0 and {high} >= 0" if alike else f"{low} > 0 or {high} < 0"
            text = f"{'No' if alike else 'A'} difference is shown between the completions of sentences of "
            text += f"{escape(results.corpus_label(dataset))} and of their counterparts"
            yield claim(predicate, f"{text} ({result(low)} to {result(high)} words).")


def _comparisons(results: Results) -> Iterator[str]:
    rows = results.comparisons.to_dict("records")
    if not rows:
        return
    found, unsure, conditions = [], [], []
    for row in rows:
        name = compared(row)
        better, worse = _names(row) if row["difference"] > 0 else reversed(_names(row))
        winner = f"{better} over {worse}{_on(row, results)}"
        conditions.append(f"{name}.p_holm {'<' if row['p_holm'] < ALPHA else '>='} {ALPHA}")
        if row["p_holm"] < ALPHA:
            found.append(f"{winner} ({result(f'{name}.points')} points)")
            if row["low"] <= 0 <= row["high"]:  # the test takes the trained systems as given
                unsure.append(winner)
                conditions.append(f"{name}.low <= 0 and {name}.high >= 0")
    number = f"Of {len(rows)} declared comparisons, {len(found) or 'none'}"
    verb = "shows" if len(found) < 2 else "show"
    text = f"{number} {verb} a statistically significant difference"
    if found and len(found) <= LISTED:
        text += f": {listed(found)}"
    if unsure:
        text += (
            f". For {listed(unsure)}, the interval includes zero: other seeds or sentences might not show it"
        )
    yield claim(" and ".join(conditions), f"{text}.")


def _answers(results: Results) -> Iterator[str]:
    """The largest shares of unreadable answers and of ungrounded items among trained systems that write."""
    measures = {"failed": "unreadable answers", "dropped.ungrounded": "items that are not in the sentence"}
    for _, block in results.summary.groupby("corpus", sort=False):
        rows = block[(block["kind"] == "generator") & block["dev_f1"].notna()].to_dict("records")
        parts, conditions = [], []
        for measure, what in measures.items() if rows else ():
            worst = max(rows, key=lambda row: row[measure])
            name = _key(worst, measure)
            parts.append(f"the largest share of {what} is {result(name)}, by {escape(worst['label'])}")
            conditions += [f"{name} >= {_key(row, measure)}" for row in rows]
        if parts:
            text = f"Among trained systems that write{_on(rows[0], results)}, {'; '.join(parts)}."
            yield claim(" and ".join(conditions), text)


def _learning(results: Results) -> Iterator[str]:
    trained = {(run.dataset_name, run.system) for run in results.systems if run.base is None}
    rows = results.summary.dropna(subset="dev_f1").to_dict("records")
    rows = [row for row in rows if (row["dataset"], row["system"]) in trained]
    if not rows:
        return
    agree = [row for row in rows if row["loss_agrees"] == 100]
    conditions = [f"{_key(row, 'loss_agrees')} {'==' if row in agree else '<'} 100" for row in rows]
    text = f"For {len(agree) or 'none'} of {len(rows)} trainings, the lowest loss and the highest "
    text += r"\Fone on the development set choose the same checkpoint"
    yield claim(" and ".join(conditions), f"{text} in all runs.")
    if late := [row for row in rows if row["last_look_best"] > 0]:
        labels = listed([escape(row["label"]) for row in late])
        text = f"In one run or more of {labels}, the last evaluation is the best: longer training might help."
        yield claim(" and ".join(f"{_key(row, 'last_look_best')} > 0" for row in late), text)


def _cost(results: Results) -> Iterator[str]:
    for pair in _pairs(results):
        systems = {side: costs.timed(results, pair["dataset"], pair[side]) for side in ("a", "b")}
        label = {side: escape(system.label) for side, system in systems.items()}
        found, conditions = [], []
        for how, what in (("median", "for a sentence"), ("batches", "in batches"), ("training", "to train")):
            fast, slow = sorted(systems, key=lambda side: systems[side].mean[how])
            ratio = costs.ratio(systems[slow], systems[fast], how)
            if ratio is None or ratio.low <= 1:
                continue
            # The ratio is stored as that of a over b.
            name, least = f"{compared(pair)}.time.{how}", costs.at_least(ratio)
            conditions.append(f"{name}.low >= {least}" if slow == "a" else f"{name}.high <= 1 / {least}")
            many = f"at least {least} times as long as" if least > 1 else "longer than"
            found.append(f"{label[slow]} takes {many} {label[fast]} {what}")
        if found:
            yield claim(" and ".join(conditions), f"{'; '.join(found)}{_on(pair, results)}.")


def _flexible(results: Results, known: Known, prefix: str) -> Iterator[str]:
    frame = flexibility.scores(results)
    if "held_out.f1" not in frame:
        return
    frame = frame[frame["ways"].str.contains("held out")]
    for _, block in frame.groupby("corpus", sort=False):
        rows = block.sort_values("held_out.f1", ascending=False, kind="stable").to_dict("records")
        names = [prefix + _key(row, "flexibility.held_out") for row in rows]
        found = "none found a mention of them"
        if rows[0]["held_out.f1"]:
            score = result(f"{names[0]}.f1", names[0])
            found = rf"{escape(rows[0]['label'])} has the highest \Fone on them, {score}"
        text = f"Of {len(rows)} systems trained without some types{_on(rows[0], results)}, {found}."
        yield claim(" and ".join(f"{names[0]}.f1 >= {name}.f1" for name in names), text)


def _labels(results: Results, known: Known, prefix: str) -> Iterator[str]:
    for name, rows in label_efficiency.series(results).groupby("series", sort=False):
        names = [prefix + _key(row) for row in rows.to_dict("records")]
        best, falls = names[rows["micro_f1"].argmax()], rows["micro_f1"].diff()[1:] < 0
        shown = dict.fromkeys((names[0], best, names[-1]))
        parts = [f"{result(f'{at}.micro_f1')} with {result(f'{at}.train_sentences')}" for at in shown]
        text = rf"The \Fone of {escape(name)} is {listed(parts)} training sentences; it falls at "
        steps = zip(names, names[1:], falls, strict=False)
        conditions = [
            f"{more}.micro_f1 {'<' if fall else '>='} {less}.micro_f1" for less, more, fall in steps
        ]
        conditions += [f"{best}.micro_f1 >= {each}.micro_f1" for each in names]
        yield claim(" and ".join(conditions), f"{text}{falls.sum()} of {len(falls)} steps.")


def _disturbed(results: Results, known: Known, prefix: str) -> Iterator[str]:
    frame = robustness.changes(results)
    for (dataset, base), rows in frame.groupby(["dataset", "base_system"], sort=False) if len(frame) else ():
        name = prefix + key(dataset, base, "robustness", "mean_change")
        text = rf"On average, disturbances {'lower' if known[name] < 0 else 'do not lower'} the \Fone of "
        text += f"{escape(rows['base'].iloc[0])} (mean change {result(name, name)} points)."
        yield claim(f"{name} {'<' if known[name] < 0 else '>='} 0", text)
