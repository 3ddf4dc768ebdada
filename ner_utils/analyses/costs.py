"""What does a system cost, and from which volume on is it cheaper than another?

Money is time at the hourly prices that a study declares for its machine, or what a server charged. All other
systems of a study run on one machine, so that the volume at which two cost the same does not depend on the
price.

Times vary from run to run, so that each ratio of two systems' times has an interval (`ratio`). If it includes
1, neither system is called faster or cheaper.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from ner_utils.config import tuned
from ner_utils.rendering import figures, latex, plots
from ner_utils.rendering.latex import Column
from ner_utils.results.study import Results
from ner_utils.scoring.resampling import Interval

Row = Mapping[str, Any]  # of `Results.summary`, or of `Results.runs`
# An assumption: two times of one architecture on one quiet machine differ by this factor at most.
TOLERANCE = 1.3
OF_TRAINING = ("training_seconds", "looks_seconds", "labelling_seconds", "teacher_seconds")


class Timed(NamedTuple):
    """A system's label, its mean times and those of each run (by the keys of `seconds_of`), and the machines
    on which they were taken."""

    label: str
    mean: Mapping[str, float]
    runs: Sequence[Mapping[str, float]]
    machines: Collection[str] = ()


def dollars(seconds: float, price: float) -> float:
    """The cost of seconds at an hourly price."""
    return seconds / 3600 * price


def seconds_of(row: Row) -> dict[str, float]:
    """Seconds of training, with its evaluations on dev, and with the training and the predictions of a system
    that labels sentences for it; and of 1,000 sentences: in the batches that are best for the system, one at
    a time, and if all took as long as the median one."""
    training = (row.get(name, math.nan) for name in OF_TRAINING)
    return {
        "training": sum(0.0 if math.isnan(seconds) else seconds for seconds in training),
        "batches": 1000 / row["sentences_per_second"],
        "single": row["latency_mean_ms"],
        "median": row["latency_p50_ms"],
    }


def spent(row: Row, how: str, price: float) -> float:
    """Dollars for training or for 1,000 sentences (by the keys of `seconds_of`), at an hourly price or as a
    server charged them."""
    charged = row["dollars_per_thousand"]
    return dollars(seconds_of(row)[how], price) if how == "training" or math.isnan(charged) else charged


def timed(results: Results, dataset: str, system: str) -> Timed:
    """The times of a system of a study."""
    own = "dataset == @dataset and system == @system"
    (row,) = results.summary.query(own).to_dict("records")
    runs = results.runs.query(own).to_dict("records")
    machines = {
        json.dumps([item.manifest["machine"], item.efficiency.get("server")], sort_keys=True)
        for item in results.stored
        if (item.run.dataset_name, item.run.system) == (dataset, system)
    }
    return Timed(row["label"], seconds_of(row), [seconds_of(run) for run in runs], machines)


def ratio(a: Timed, b: Timed, how: str) -> Interval | None:
    """The ratio of the times of ``a`` and ``b``, with its interval; None if one of them takes no time, or if
    the times were taken on different machines.

    The interval is Welch's of the difference of the mean logarithms over runs. It is never narrower than
    `TOLERANCE` to either side, and has this width if a system has one run: the runs of a system are timed one
    after the other, so that their spread does not include how the machine changes between systems.
    """
    timed_both = a.mean[how] > 0 and b.mean[how] > 0  # an ensemble's median may not have been measured
    if not timed_both or len({*a.machines, *b.machines}) > 1:
        return None
    estimate, wide = a.mean[how] / b.mean[how], _width(a, b, how)
    return Interval(estimate, estimate / wide, estimate * wide)


def at_least(times: Interval) -> int:
    """The lower end of a ratio of times, rounded down to a whole number of two significant digits."""
    least = int(times.low)
    return least - least % 10 ** max(0, len(str(least)) - 2)


def _width(a: Timed, b: Timed, how: str) -> float:
    """The factor by which a ratio of times may be off to either side."""
    if [run[how] for run in a.runs] == [run[how] for run in b.runs]:
        return 1.0  # one measurement, as of the training that two systems share
    logs = [np.log([run[how] for run in each.runs]) for each in (a, b) if each.mean[how]]
    if len(logs) < 2 or min(map(len, logs)) < 2 or max(map(np.ptp, logs)) < 1e-9:
        return TOLERANCE
    bounds = stats.ttest_ind(*logs, equal_var=False).confidence_interval(0.95)
    return max(TOLERANCE, math.exp((bounds.high - bounds.low) / 2))


def faster(a: Timed, b: Timed, how: str) -> Timed | None:
    """The system that takes less time; None if the interval of their ratio includes 1."""
    times = ratio(a, b, how)
    if times is None or times.low <= 1 <= times.high:
        return None
    return a if times.high < 1 else b


def break_even(a: Timed, b: Timed, how: str = "batches") -> Interval | None:
    """The number of sentences at which ``a`` and ``b`` have cost the same, training included, with the
    numbers at the ends of the intervals of training and prediction; all 0 if the faster one is never more
    expensive. None if `faster` is."""
    quick = faster(a, b, how)
    if quick is None:
        return None
    slow = b if quick is a else a
    wide, trained = _width(a, b, how), _width(a, b, "training")

    def volume(learning: float, reading: float) -> float:
        """With the faster one's training and the slower one's prediction longer by these factors."""
        ahead = learning * quick.mean["training"] - slow.mean["training"]
        return max(0.0, ahead) / (reading * slow.mean[how] - quick.mean[how]) * 1000

    return Interval(volume(1, 1), volume(1 / trained, wide), volume(trained, 1 / wide))


def verdict(a: Timed, b: Timed, how: str = "batches") -> str | None:
    """Which system is cheaper, and from which volume on; None if `faster` is."""
    volume = break_even(a, b, how)
    if volume is None:
        return None
    quick = faster(a, b, how)
    if volume.high == 0:
        return f"{quick.label}, always"
    middle, low, high = (f"{float(f'{each:.2g}'):,.0f}" for each in volume)  # two significant figures
    return f"{quick.label}, from {middle} sentences on ({low} to {high})"


def tab_costs(results: Results) -> str:
    """Cents for training and for 1,000 sentences, at the lower and the higher price."""
    prices = results.study.protocol.dollars_per_hour
    if not prices:
        return latex.statement("This study declares no price of its machine.")
    columns = [Column("System")]
    for over in ("Training", "1,000 sentences, batches", "1,000, one at a time"):
        columns += [Column(title, layout="r", over=over) for title in ("low", "high")]

    def row(values: Row) -> Sequence:
        shown = ("training", "batches", "single")
        cents = (100 * spent(values, how, price) for how in shown for price in prices)
        return [values["label"], *map(latex.significant, cents)]

    return latex.tabular(columns, latex.blocks(results.undisturbed.summary, row))


def _compared(results: Results) -> Iterator[tuple[str, Timed, Timed]]:
    """The systems of each declared comparison, after the corpus if there are several."""
    for pair in results.comparisons.to_dict("records"):
        many = f"{pair['corpus']}: " if len(results.corpora) > 1 else ""
        yield many, *(timed(results, pair["dataset"], pair[side]) for side in ("a", "b"))


def tab_times(results: Results) -> str:
    """For each declared comparison, how many times as long the system that is slower in batches takes."""
    rows: list[Sequence] = []
    for corpus, *both in _compared(results):
        b, a = sorted(both, key=lambda system: system.mean["batches"])
        ratios = (ratio(a, b, how) for how in ("training", "median", "single", "batches"))
        rows.append([corpus + a.label, b.label, *(each and _ratio_text(each) for each in ratios)])
    if not rows:
        return latex.statement("This study declares no comparison.")
    columns = [Column(title, layout="p{2.6cm}") for title in ("System", "Against")]
    over = "Times as long, with interval"
    titles = ("Training", "A sentence (median)", "A sentence (mean)", "Batches")
    columns += [Column(latex.narrow(title, 11), layout="r", over=over) for title in titles]
    return latex.tabular(columns, rows)


def _ratio_text(times: Interval) -> latex.Raw:
    estimate, low, high = map(latex.significant, (times.estimate, times.low, times.high))
    return latex.Raw(f"{estimate} ({low} to {high})")


def tab_break_even(results: Results) -> str:
    """For each declared comparison, which system is cheaper, and from which volume on; a dash if no
    difference in time is shown."""
    rows = [
        [corpus + a.label, b.label, verdict(a, b), verdict(a, b, "single")]
        for corpus, a, b in _compared(results)
    ]
    if not rows:
        return latex.statement("This study declares no comparison.")
    columns = [
        Column("System", layout="p{3cm}"),
        Column("Against", layout="p{3cm}"),
        Column("Cheaper in batches", layout="p{3.6cm}"),
        Column("Cheaper one at a time", layout="p{3.6cm}"),
    ]
    return latex.tabular(columns, rows)


def tab_tuning(results: Results) -> str:
    """The cost and the result of each search for hyperparameters."""
    if not results.tuning:
        return latex.statement("No system of this study was tuned: settings are as declared.")
    prices = results.study.protocol.dollars_per_hour or []
    columns = [Column("System"), Column("Trials", 0)]
    columns += [Column(title, 1, over=r"Dev \Fone") for title in ("declared", "lowest", "chosen")]
    columns += [Column("Minutes", 1), Column(r"Cost (\$)", layout="r"), Column("Chosen")]
    rows: list[Any] = []
    for run, search in results.tuning:
        many = f"{run.dataset.label}: " if len(results.corpora) > 1 else ""
        scores = [100 * trial["dev_f1"] for trial in search["trials"]]
        money = " to ".join(f"{dollars(search['seconds'], price):.3f}" for price in prices)
        declared = tuned.declared_f1(search)
        row = [many + run.label, len(scores), None if declared is None else 100 * declared]
        row += [min(scores), max(scores), search["seconds"] / 60]
        rows.append([*row, money, tuned.describe(search["chosen"])])
    return latex.tabular(columns, rows)


@plots.styled
def fig_size(results: Results) -> Figure:
    """The primary score against the number of parameters, and against the cost of 1,000 sentences in batches
    with a line from the lower to the higher price (time, where a study declares no price)."""
    results, prices = results.undisturbed, results.study.protocol.dollars_per_hour
    metric, title = figures.primary_score(results)
    prices = prices if prices and min(prices) > 0 else None  # the axis is logarithmic
    marks = plots.marks_of_systems(results.families, results.summary["label"])
    corpora = list(results.summary.groupby("corpus", sort=False))
    figure, axes = plots.grid(2 * len(corpora), 2, 2.2, 0.3, sharey=True)
    for (size, cost), (corpus, rows) in zip(axes, corpora, strict=True):
        for row in rows.to_dict("records"):
            mark, score = marks[row["label"]], row[metric]
            seconds = [seconds_of(row)["batches"]] * 2
            ends = [100 * spent(row, "batches", price) for price in prices] if prices else seconds
            middle = math.sqrt(ends[0] * ends[1])
            for axis, x in ((size, row["parameters_millions"]), (cost, middle)):
                axis.plot([x, x], [row[f"{metric}_low"], row[f"{metric}_high"]], color=mark["color"])
                axis.plot(x, score, **mark, clip_on=False)
            cost.plot(ends, [score, score], color=mark["color"], linewidth=0.7)
        unit = "US cents" if prices else "seconds"
        size.set(xlabel="Parameters (millions), log scale")
        cost.set(xlabel=f"1,000 sentences in batches ({unit}), log scale", ylim=(0, None))
        size.set(ylabel=title, title=corpus if len(corpora) > 1 else "")
        for axis in (size, cost):
            plots.log_scale(axis)
    plots.legend(figure, marks)
    return figure


def numbers(results: Results) -> Iterator[tuple[tuple[str, ...], float]]:
    """Of each declared comparison, by the parts of their keys: ratios of times of `ratio`, and volumes of
    `break_even` in batches, where they are not None; each with its interval."""
    for pair in results.comparisons.to_dict("records"):
        a, b = (timed(results, pair["dataset"], pair[side]) for side in ("a", "b"))
        name = pair["dataset"], f"{pair['a']}-vs-{pair['b']}"
        intervals = {f"time.{how}": ratio(a, b, how) for how in a.mean} | {"break_even": break_even(a, b)}
        for what, bounds in intervals.items():
            if bounds:
                ends = (what, f"{what}.low", f"{what}.high")
                yield from (((*name, end), value) for end, value in zip(ends, bounds, strict=True))
