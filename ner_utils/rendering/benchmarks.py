"""Tables and figures of the benchmarks: speed and scoring (`make bench`), and memory (`bench/fit.py`)."""

from __future__ import annotations

from statistics import median
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from ner_utils import paths, sealed
from ner_utils.rendering import colours, latex, plots
from ner_utils.rendering.latex import Column, Raw

SERIES = ("tagging", "generation", "scoring")
PAIRS = {"default": ("predicted", "measured"), "returned": ("tensors", "returned")}  # of a validation


def load_benchmark(name: str = "bench") -> dict[str, Any] | None:
    """A stored benchmark; None if it was not run."""
    path = paths.RESULTS / "bench" / f"{name}.json"
    return sealed.read_json(path, "restore it, or run make bench") if path.is_file() else None


def write_benchmarks(study: str) -> list[str]:
    """Write tables and figures of the stored benchmarks where the study's thesis finds them; their names."""
    written = []
    for name, makers in (
        ("bench", (tab_bench, tab_commands, fig_speed, fig_growth)),
        ("fit", (tab_fit, tab_fit_validation)),
        ("score", (tab_score,)),
    ):
        if (stored := load_benchmark(name)) is not None:
            written += plots.save_for_thesis(study, {make.__name__: make(stored) for make in makers})
    return written


def tab_fit(stored: dict[str, Any]) -> str:
    """Every model's peaks, and what each card holds of it."""
    columns = [Column("Model"), *(Column(title, 0, over="Parameters (M)") for title in ("all", "trained"))]
    columns += [Column(title, 1, over="Peak (GiB)") for title in ("training", "sparing", "prediction")]
    columns += [Column(str(card["gib"]), layout="c", over="Card (GB)") for card in stored["cards"]]
    rows: list = []
    for approach, heading in (("tagging", "Encoders and LLMs that tag"), ("generation", "LLMs that write")):
        rows.append(heading)
        for row in (row for row in stored["models"] if row["approach"] == approach):
            peaks = [row[what] / 2**30 for what in ("training", "sparing", "prediction")]
            needs = {"t": max(peaks[0], peaks[2]), "s": max(peaks[1], peaks[2]), "p": peaks[2]}
            reserve = stored["reserve"] / 2**30
            held = [
                next((mark for mark, need in needs.items() if need + reserve <= card["gib"]), "–")
                for card in stored["cards"]
            ]
            rows.append([row["label"], row["parameters"] / 1e6, row["trainable"] / 1e6, *peaks, *held])
    return latex.tabular(columns, rows)


def tab_fit_validation(stored: dict[str, Any]) -> str:
    """Predicted and measured peaks in MiB, with the heap as it is and with freed blocks given back."""
    columns = [Column("System", layout="p{2.4cm}"), Column(""), Column("Precision")]
    columns += [Column("Rows", 0), Column("Tokens", 0)]
    for over in ("As it runs (MiB)", "Freed blocks given back (MiB)"):
        columns += [Column(title, 0, over=over) for title in ("predicted", "measured")]
        columns.append(Column(r"error (\%)", 1, over=over))
    rows = []
    for row in stored["validation"]:
        cells = [row[key] for key in ("system", "what", "precision", "rows", "tokens")]
        for pair in PAIRS.values():
            predicted, measured = (row[key] / 2**20 for key in pair)
            cells += [predicted, measured, 100 * (predicted / measured - 1)]
        rows.append(cells)
    return latex.tabular(columns, rows)


def fit_numbers() -> dict[str, tuple[float, int]]:
    """What the thesis may quote or judge of the stored estimates: values, and digits to print."""
    if (stored := load_benchmark("fit")) is None:
        return {}
    numbers = {"fit.reserve": (stored["reserve"] / 2**30, 0)}
    for row in stored["models"]:
        for what in ("training", "sparing", "prediction"):
            numbers[f"fit.{row['model']}.{what}"] = (row[what] / 2**30, 1)
    for model, layers in stored["adapters"].items():
        numbers |= {f"fit.{model}.adapters.{what}": (number, 0) for what, number in layers.items()}
    for name, pair in PAIRS.items():
        errors = [100 * abs(row[pair[0]] / row[pair[1]] - 1) for row in stored["validation"]]
        numbers |= {f"fit.{name}.worst": (max(errors), 1), f"fit.{name}.median": (median(errors), 1)}
    return numbers


def tab_score(stored: dict[str, Any]) -> str:
    """Seconds of scoring and statistics at the size of a large test set."""
    number = latex.number(stored["resamples"])
    here, seqeval = (median(stored["seconds"][side]) for side in ("ours", "theirs"))
    rows = [
        ["From tags to strict F1, micro and by type", here],
        [f"The same by seqeval's strict mode ({stored['ratio']:.1f} times as long)", seqeval],
        [f"Micro F1: an interval and a test, {number} resamples", stored["micro_seconds"]],
        ["Micro, macro and every type, all pairs tested", stored["all_seconds"]],
    ]
    title = f"{latex.number(stored['sentences'])} sentences"
    return latex.tabular([Column(title), Column("Seconds", 2)], rows)


def tab_bench(bench: dict[str, Any]) -> str:
    """Ratios with the spread of single turns, rates, and the floor that the arithmetic sets."""
    columns = [Column("Against", layout="p{4.6cm}")]
    columns += [Column("median", 1, over="Times as fast"), Column("repetitions", over="Times as fast")]
    columns += [Column("target", layout="r", over="Times as fast")]
    columns += [Column(title, 1, over="Per second") for title in ("project", "library")]
    columns += [Column("floor", layout="r", over="Per second")]
    rows: list = []
    for row in bench["rows"]:
        rows += [row["what"]] if row["what"] not in rows else []
        middle, low, high = row["ratio"]
        aim = f"{row['reach']:g}" if row["reach"] else None
        floor = latex.number(row["floor"], 1) if row["floor"] else None
        against = Raw(rf"{latex.escape(row['against'])}\newline {{\scriptsize {latex.escape(row['note'])}}}")
        rates = (median(row["ours"]), median(row["theirs"]))
        rows.append([against, middle, latex.interval(low, high), aim, *rates, floor])
    return latex.tabular(columns, rows)


def tab_commands(bench: dict[str, Any]) -> str:
    """What whole commands take."""
    columns = [Column("Command"), Column(""), Column("Seconds", 1), Column("At most", 0)]
    rows = [
        [Raw(rf"\code{{{latex.escape(row['command'])}}}"), row["what"], row["seconds"], row["most"]]
        for row in bench["commands"]
    ]
    return latex.tabular(columns, rows)


@plots.styled
def fig_speed(bench: dict[str, Any]) -> Figure:
    """Each ratio with the range of its turns, and what was aimed at."""
    rows = bench["rows"]
    names = [f"{row['what']}\nagainst {row['against']}" for row in rows]
    lines = max(plots.wrap(name, 46).count("\n") + 1 for name in names)
    figure, axis = plt.subplots(figsize=(plots.WIDTH, (0.15 * lines + 0.06) * len(rows) + 0.8))
    plots.name_rows(axis, names, 46)
    for at, row in enumerate(rows):
        middle, low, high = row["ratio"]
        axis.plot([low, high], [at, at], color=colours.SYSTEMS[0], linewidth=1.4)
        axis.plot(middle, at, "o", color=colours.SYSTEMS[0])
        if row["reach"]:
            axis.plot(row["reach"], at, "|", color=colours.SYSTEMS[5], markersize=11, markeredgewidth=1.6)
    axis.axvline(1, color="0.4", linewidth=0.8)
    plots.log_scale(axis)
    axis.set_xlabel("Times as fast, log scale; vertical marks are targets")
    return figure


@plots.styled
def fig_growth(bench: dict[str, Any]) -> Figure:
    """Seconds and peak memory of prediction, and seconds of scoring, as sentences grow."""
    figure, axes = plt.subplots(1, 2, figsize=(plots.WIDTH, 2.5))
    for name, mark in plots.marks_of(SERIES).items():
        rows = [row for row in bench["growth"] if row["what"] == name]
        numbers = [row["sentences"] for row in rows]
        style = mark | {"linestyle": "-", "label": name}
        axes[0].plot(numbers, [row["seconds"] for row in rows], **style)
        if all(row["mib"] for row in rows):
            axes[1].plot(numbers, [row["mib"] for row in rows], **style)
    axes[0].set(xscale="log", yscale="log", ylabel="Seconds, log scale")
    axes[0].yaxis.set_major_formatter(plots.PLAIN)
    axes[1].set(xscale="log", ylabel="Peak memory of the process (MiB)")
    axes[1].set_ylim(bottom=0)
    for axis in axes:
        axis.set_xticks(numbers, map(str, numbers))
        axis.minorticks_off()
        axis.set_xlabel("Sentences, log scale")
    axes[0].legend()
    return figure
