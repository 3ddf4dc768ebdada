"""What `make bench` measured, for the thesis: a table, and two figures."""

from __future__ import annotations

import json
from statistics import median
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from ner_utils import latex, paths, plots
from ner_utils.latex import Column, Raw

SERIES = ("tagging", "generation", "scoring")


def load() -> dict[str, Any] | None:
    """The stored bench; None where none was run."""
    path = paths.RESULTS / "bench" / "bench.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def write(study: str) -> list[str]:
    """Write the bench's table and figures where the study's thesis finds them; names, or none."""
    bench = load()
    if bench is None:
        return []
    tables, figures = (tab_bench, tab_commands), (fig_speed, fig_growth)
    for make in tables:
        latex.write(paths.THESIS / "generated" / study / f"{make.__name__}.tex", make(bench))
    for make in figures:
        figure = make(bench)
        plots.save(figure, paths.FIGURES / study / f"{make.__name__}.pdf")
        plt.close(figure)
    return [make.__name__ for make in (*tables, *figures)]


def tab_bench(bench: dict[str, Any]) -> str:
    """Ratios with the spread of single turns, rates, and the floor that the arithmetic sets."""
    columns = [Column("Against", layout="p{4.6cm}")]
    columns += [Column("median", 1, over="Times as fast"), Column("turns", over="Times as fast")]
    columns += [Column("aim", layout="r", over="Times as fast")]
    columns += [Column(title, 1, over="Per second") for title in ("here", "there")]
    columns += [Column("floor", layout="r", over="Per second")]
    rows: list = []
    what = None
    for row in bench["rows"]:
        if row["what"] != what:
            what = row["what"]
            rows.append(what)
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
    figure, axis = plt.subplots(figsize=(plots.WIDTH, 0.36 * len(rows) + 0.8))
    plots.name_rows(axis, [f"{row['what']}\nagainst {row['against']}" for row in rows], 46)
    for at, row in enumerate(rows):
        middle, low, high = row["ratio"]
        axis.plot([low, high], [at, at], color=plots.COLOURS[0], linewidth=1.4)
        axis.plot(middle, at, "o", color=plots.COLOURS[0])
        if row["reach"]:
            axis.plot(row["reach"], at, "|", color=plots.COLOURS[5], markersize=11, markeredgewidth=1.6)
    axis.axvline(1, color="0.4", linewidth=0.8)
    plots.log_scale(axis)
    axis.xaxis.set_major_formatter(plots.PLAIN)
    axis.set_xlabel("Times as fast, log scale; the upright stroke is the aim")
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
