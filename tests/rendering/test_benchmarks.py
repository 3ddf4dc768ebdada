"""The bench's result in the thesis: its table and figures, from a stored file alone."""

import pytest

from ner_utils import paths, sealed
from ner_utils.rendering import benchmarks

ROW = {
    "what": "LLM generation",
    "against": "generate, one sentence at a time",
    "ours": [11.0, 10.0, 12.0],
    "theirs": [2.0, 1.6, 1.7],
    "sentences": [256, 16],
    "floor": 24.31,
    "note": "16 of 16 answers identical & 100 % _so_",
    "reach": 7.0,
    "ratio": [6.47, 5.5, 7.06],
}
IMPORTS = ROW | {"what": "Imports", "floor": None, "reach": 0.0, "note": ""}
COMMAND = {"what": "All of it", "command": "make study", "seconds": 312.4, "most": 600}
GROWTH = [
    {
        "what": what,
        "sentences": 12 * times,
        "seconds": 0.1 * times,
        "mib": None if what == "scoring" else 900.0,
    }
    for times in (1, 3, 10)
    for what in benchmarks.SERIES
]


@pytest.fixture
def places(tmp_path, monkeypatch):
    for name in ("RESULTS", "FIGURES", "THESIS"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())


def test_without_a_bench_nothing_is_written(places):
    assert benchmarks.write_benchmarks("demo") == []
    assert not paths.THESIS.exists()


def test_a_bench_becomes_a_table_and_two_figures(places):
    bench = {"rows": [ROW, ROW | {"against": "a batch"}, IMPORTS], "growth": GROWTH, "commands": [COMMAND]}
    sealed.write_json(paths.RESULTS / "bench" / "bench.json", bench)
    assert benchmarks.write_benchmarks("demo") == ["tab_bench", "tab_commands", "fig_speed", "fig_growth"]
    text = (paths.THESIS / "generated" / "demo" / "tab_bench.tex").read_text()
    assert text.count("LLM generation") == 1
    assert "6.5 & 5.5 to 7.1 & 7 & 11.0 & 1.7 & 24.3" in text
    assert r"identical \& 100 \% \_so\_" in text
    assert all((paths.FIGURES / "demo" / f"fig_{name}.pdf").stat().st_size for name in ("speed", "growth"))


def test_scoring_becomes_a_table(places):
    found = {
        "sentences": 16454, "seconds": {"ours": [0.3, 0.2, 0.4], "theirs": [3.0, 6.0, 9.0]}, "ratio": 20.0,
        "resamples": 10000, "micro_seconds": 2.5, "all_seconds": 31.0,
    }  # fmt: skip
    sealed.write_json(paths.RESULTS / "bench" / "score.json", found)
    assert benchmarks.write_benchmarks("demo") == ["tab_score"]
    text = (paths.THESIS / "generated" / "demo" / "tab_score.tex").read_text()
    assert "16,454 sentences" in text and "20.0 times as long" in text and "31.00" in text


def test_growth_is_labelled_in_plain_numbers():
    figure = benchmarks.fig_growth({"growth": GROWTH})
    figure.canvas.draw()
    labels = [label.get_text() for axis in figure.axes for label in axis.get_yticklabels()]
    assert labels
    assert not any("$" in label or "10^" in label for label in labels)


def test_the_stored_bench_is_of_this_form():
    bench = benchmarks.load_benchmark()
    if bench is None:
        pytest.skip("no bench is stored")
    assert set(bench["rows"][0]) == set(ROW)
    assert {row["what"] for row in bench["growth"]} == set(benchmarks.SERIES)
    assert benchmarks.tab_bench(bench) and benchmarks.tab_commands(bench)


def test_the_page_on_speed_quotes_the_stored_bench():
    text = " ".join((paths.ROOT / "docs" / "measuring-speed.md").read_text(encoding="utf-8").split())
    rows = {
        (row["what"], row["against"].split(", ")[1]): row["ratio"][0]
        for row in benchmarks.load_benchmark()["rows"]
        if ", " in row["against"]
    }
    alone, batched = (rows["LLM generation", how] for how in ("one sentence at a time", "sorted"))
    training = rows["QLoRA training", "bf16 and checkpointing off"]
    assert f"generation is {alone:.1f} times as fast as one sentence at a time" in text
    assert f"{batched:.1f} times as fast as batches sorted by length" in text
    assert f"QLoRA training is {training:.1f} times as fast as SFTTrainer" in text
