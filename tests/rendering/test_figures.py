"""Figures: there, legible, of print size, and the same in every byte when made again."""

import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text

from ner_utils import analyses, config, paths
from ner_utils.rendering import figures, plots
from ner_utils.rendering.colours import type_colours

NAMES = ["fig_f1", "fig_types", "fig_latency", "fig_memory", "fig_learning", "fig_parse", "fig_corpus"]


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def audited(*counts):
    """A corpus whose splits hold so many mentions of each type, with its audit."""
    splits = {name: {"types": types} for name, types in zip(("train", "test"), counts, strict=False)}
    named = {kind: kind.lower() for kind in counts[0]}
    return config.load_dataset("demo").model_copy(update={"types": named}), {"splits": splits}


def texts_of(axis):
    """What an axis shows; ticks beyond its limits exist, but are not drawn."""
    if not axis.axison:
        return []
    shown = [child for child in axis.get_children() if isinstance(child, Text)]
    shown += [axis.xaxis.label, axis.yaxis.label]
    for side in (axis.xaxis, axis.yaxis):
        low, high = sorted(side.get_view_interval())
        shown += [tick.label1 for tick in side.get_major_ticks() if low <= tick.get_loc() <= high]
    return [text for text in shown if text.get_visible() and text.get_text()]


def assert_legible(figure):
    """No text leaves the figure, and no two texts of one axis overlap."""
    renderer, page = figure.canvas.get_renderer(), figure.bbox
    for axis in figure.axes:
        boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts_of(axis)]
        for index, (text, box) in enumerate(boxes):
            assert page.x0 - 1 <= box.x0 <= box.x1 <= page.x1 + 1, f"{text!r} is cut off"
            assert page.y0 - 1 <= box.y0 <= box.y1 <= page.y1 + 1, f"{text!r} is cut off"
            clash = [other for other, seen in boxes[:index] if box.overlaps(seen)]
            assert not clash, f"{text!r} overlaps {clash}"


@pytest.mark.slow
def test_figures(made_up, monkeypatch):
    """All are written, wide as the text, legible, with real fonts, and closed; again with the same bytes."""
    results, drawn, open_before = made_up("seeds=[1,2,3]"), [], plt.get_fignums()

    def draw(figure, path):
        assert figure.get_figwidth() == plots.WIDTH, path
        if path.name != "fig_f1.pdf":  # saved as PNG just before, which moved its labels
            assert_legible(figure)
        drawn.append(path.name)
        save(figure, path)

    save = plots.save_figure
    monkeypatch.setattr(plots, "save_figure", draw)
    assert figures.save_figures(results) == NAMES
    assert drawn == ["plain.png", *(f"{name}.pdf" for name in NAMES)]
    monkeypatch.setattr(plots, "save_figure", save)
    first = {path: path.read_bytes() for path in paths.FIGURES.rglob("*.p*")}
    figures.save_figures(results)
    for path, content in first.items():
        assert path.read_bytes() == content, path.name
        assert b"/Type3" not in content, "fonts must be real ones"
        assert b"/CreationDate" not in content
    assert plt.get_fignums() == open_before


def test_systems_of_one_family_share_a_colour():
    families = {"a": "x", "b": "y", "a, grounded": "x", "vote": "ensemble", "a, by loss": "x"}
    marks = plots.marks_of_systems(families, families)
    assert marks["a"]["color"] == marks["a, grounded"]["color"] == marks["a, by loss"]["color"]
    assert len({marks[label]["color"] for label in ("a", "b", "vote")}) == 3
    assert len({(mark["color"], mark["marker"]) for mark in marks.values()}) == len(families)
    assert plots.marks_of_systems(families, ["b"]) == {"b": marks["b"]}  # the same in every figure
    alone = plots.marks_of_systems(dict.fromkeys("abc", "x"), "abc")
    assert len({mark["color"] for mark in alone.values()}) == 3


def test_main_systems_in_the_text_and_all_in_the_appendix(made_up, studies):
    file = studies / "plain.yaml"
    file.write_text(
        file.read_text().replace("systems:\n", "main_systems: [minilm, smollm2-qlora]\nsystems:\n", 1)
    )
    results = made_up()
    assert len(results.main.systems) == 2 < len(results.systems)
    names = figures.save_figures(results) + analyses.write_answers(results)
    assert {"all_fig_f1", "all_fig_size", "all_fig_buckets", "all_fig_risk"} <= set(names)
    drawn = {name: figures.fig_f1(each) for name, each in (("main", results.main), ("all", results))}
    rows = {name: len(figure.axes[0].get_yticklabels()) for name, figure in drawn.items()}
    assert rows == {"main": 2, "all": 3}


@pytest.mark.slow
def test_byte_identical_in_another_process(tmp_path):
    """Under other settings of matplotlib and another hash seed, too."""
    code = (
        "import sys, matplotlib; matplotlib.rcParams['font.size'] = 20\n"
        "sys.path.insert(0, 'tests/rendering')\n"
        "from pathlib import Path; from test_figures import audited, figures, plots\n"
        "figure = figures.fig_corpus([audited({'PER': 120, 'LOC': 3})])\n"
        "plots.save_figure(figure, Path(sys.argv[1]))"
    )
    plots.save_figure(figures.fig_corpus([audited({"PER": 120, "LOC": 3})]), tmp_path / "here.pdf")
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "there.pdf")], check=True, cwd=paths.ROOT)
    assert (tmp_path / "here.pdf").read_bytes() == (tmp_path / "there.pdf").read_bytes()


def test_names_of_types_have_the_colours_of_their_types():
    dataset, audit = audited({"LOC": 3, "PER": 120})
    figure = figures.fig_corpus([(dataset, audit)])
    labels = figure.axes[0].get_yticklabels()
    assert [label.get_text() for label in labels] == ["PER", "LOC"]  # the frequent ones first
    colours = [to_hex(label.get_bbox_patch().get_facecolor()).upper() for label in labels]
    assert colours == [type_colours(dataset)[kind] for kind in ("PER", "LOC")]


def test_learning_curve_of_one_run():
    looks = [{"step": k, "epoch": k / 3, "dev_f1": k / 5, "dev_loss": 1 / k} for k in (1, 2, 3)]
    record = {"looks": looks, "steps_declared": 4, "best_checkpoint": "checkpoint-3"}
    figure = figures.learning_curve(record, "A $ystem_with {odd} 100% name\\")
    assert_legible(figure)
    upper, lower = figure.axes
    assert list(upper.lines[0].get_ydata()) == pytest.approx([20, 40, 60])
    assert list(lower.lines[0].get_xdata()) == [25, 50, 75]


def test_statement_where_there_is_nothing(made_up):
    results = made_up()
    tagger = results.summary[results.summary["approach"] == "tagging"]
    results.__dict__["summary"] = tagger
    results.__dict__["evaluations"] = results.evaluations.iloc[:0]
    for make in (figures.fig_parse, figures.fig_learning):
        figure = make(results)
        assert "No system of this study" in figure.axes[0].texts[0].get_text()


def test_types_without_mentions_do_not_break_the_log_scale():
    split = {"PER": 120, "RARE_&": 0}
    figure = figures.fig_corpus([audited(split, split)])
    assert figure.axes[0].get_xscale() == "symlog"
    assert_legible(figure)


def test_an_axis_without_values_says_so():
    """As for parameters, where all models are behind servers."""
    figure, (unknown, known) = plt.subplots(1, 2)
    unknown.plot([np.nan, np.nan], [1, 2])
    known.plot([3.0, 30.0], [1, 2])
    for axis in (unknown, known):
        plots.log_scale(axis)
    assert [text.get_text() for text in unknown.texts] == ["not known"]
    assert known.get_xscale() == "log" and not known.texts
    figure.canvas.draw()
