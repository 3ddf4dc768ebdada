"""Figures: there, legible, of print size, and the same in every byte when made again."""

import json
import subprocess
import sys

import matplotlib.pyplot as plt
import pytest

from ner_utils import paths
from ner_utils.rendering import plots

NAMES = ["fig_f1", "fig_types", "fig_latency", "fig_memory", "fig_learning", "fig_parse", "fig_corpus"]


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def figures(results):
    makers = [getattr(plots, name) for name in NAMES[:-1]]
    return [*(make(results) for make in makers), plots.fig_corpus(results.corpora)]


def texts_of(axis):
    """What an axis shows; ticks beyond its limits exist, but are not drawn."""
    if not axis.axison:
        return []
    shown = [*axis.texts, axis._left_title, axis.xaxis.label, axis.yaxis.label]
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


@pytest.mark.parametrize("overrides", ["", "seeds=[1,2,3]"])
def test_figures(made_up, overrides):
    for name, figure in zip(NAMES, figures(made_up(overrides)), strict=True):
        assert figure.get_figwidth() == plots.WIDTH, name
        assert_legible(figure)


def test_byte_identical_when_made_again(made_up, tmp_path):
    results = made_up("seeds=[1,2,3]")
    first = plots.save_all(results, tmp_path / "first")
    second = plots.save_all(results, tmp_path / "second")
    assert [path.stem for path in first] == NAMES
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name
        assert b"/Type3" not in one.read_bytes(), "fonts must be real ones"
        assert b"/CreationDate" not in one.read_bytes()
    assert not plt.get_fignums()


def test_byte_identical_in_another_process(made_up, tmp_path):
    """Under other settings of matplotlib and another hash seed, too."""
    results = made_up()
    plots.save(plots.fig_corpus(results.corpora), tmp_path / "here.pdf")
    code = (
        "import json, sys, matplotlib; matplotlib.rcParams['font.size'] = 20\n"
        "from pathlib import Path; from ner_utils import plots\n"
        "plots.save(plots.fig_corpus(json.loads(sys.argv[1])), Path(sys.argv[2]))"
    )
    arguments = [sys.executable, "-c", code, json.dumps(results.corpora), str(tmp_path / "there.pdf")]
    subprocess.run(arguments, check=True, cwd=paths.ROOT)
    assert (tmp_path / "here.pdf").read_bytes() == (tmp_path / "there.pdf").read_bytes()


def test_learning_curve_of_one_run():
    looks = [{"step": k, "epoch": k / 3, "dev_f1": k / 5, "dev_loss": 1 / k} for k in (1, 2, 3)]
    record = {"looks": looks, "steps_declared": 4, "best_checkpoint": "checkpoint-3"}
    figure = plots.learning_curve(record, "A $ystem_with {odd} 100% name\\")
    assert_legible(figure)
    upper, lower = figure.axes
    assert list(upper.lines[0].get_ydata()) == pytest.approx([20, 40, 60])
    assert list(lower.lines[0].get_xdata()) == [25, 50, 75]


def test_statement_where_there_is_nothing(made_up):
    results = made_up()
    tagger = results.summary[results.summary["approach"] == "tagging"]
    results.__dict__["summary"] = tagger
    results.__dict__["looks"] = results.looks.iloc[:0]
    for make in (plots.fig_parse, plots.fig_learning):
        figure = make(results)
        assert "No system of this study" in figure.axes[0].texts[0].get_text()


def test_types_without_mentions_do_not_break_the_log_scale():
    split = {"types": {"PER": 120, "RARE_&": 0}}
    figure = plots.fig_corpus({"A corpus": {"splits": {"train": split, "test": split}}})
    assert figure.axes[0].get_xscale() == "symlog"
    assert_legible(figure)
