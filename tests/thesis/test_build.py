"""The thesis: built from committed results, and closed to numbers and judgements that do not hold."""

import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest
from conftest import make

from ner_utils import config, paths, sealed
from ner_utils.rendering import figures, plots
from ner_utils.results import study
from ner_utils.sealed import ResultError
from ner_utils.thesis import build, discussion

SMALL = "tuned"  # a study whose thesis is soon built again
DISCUSSION = f"thesis/discussions/{SMALL}.tex"
# What may hold digits in a chapter on results: comments, labels, keys, predicates, file names, citations.
NO_PROSE = re.compile(
    r"(?<!\\)%.*|\\(?:label|c?[Cc]ref|result|ifresult\w*|inputtable|includeresultfigure|\w*cite\w*|texttt)"
    r"\*?(?:\[[^]]*\])?\{[^{}]*\}(?:\{[^{}]*\})?|\\claim\s*\{[^{}]*\}"
)


def text_of(pdf):
    return subprocess.run(["pdftotext", pdf, "-"], capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def built(clone):
    code, said = make(clone, "thesis", f"STUDY={SMALL}")
    assert code == 0, said
    return clone


def test_a_clone_builds_the_thesis_from_committed_results(clone):
    code, said = make(clone, "thesis", "STUDY=wnut17-cpu")
    assert code == 0, said
    text = text_of(clone / "thesis" / "thesis-wnut17-cpu.pdf")
    front, _, rest = text.partition("\f")
    settings = config.load_study("wnut17-cpu")
    assert settings.title in " ".join(front.split())
    assert "Commit" in front
    assert re.search(r"\b[0-9a-f]{10}\b|\bunknown\b", front)
    assert "Demonstration" not in front
    assert text.count("\f") >= 30
    assert "??" not in rest
    assert text.count("10.") >= 20  # references carry DOIs
    assert settings.companions
    for other in settings.companions:
        assert config.load_study(other).title in " ".join(rest.split())
    code, said = make(clone, "thesis", "STUDY=wnut17-cpu")
    assert code == 0
    assert "Nothing to be done" in said


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (r"\claim{wnut17.minilm.micro_f1 < 0}{Nonsense.}", "False claim"),
        (r"\claim{wnut17.minilm.no_such > 0}{Nonsense.}", "unknown result key wnut17.minilm.no_such"),
        (r"A score of \result{wnut17.minilm.no_such}.", "Unknown result key"),
        (r"See \cref{sec:nowhere}.", "undefined"),
        (r"As \textcite{nobody1900} says.", "undefined"),
    ],
)
def test_what_does_not_hold_stops_the_build(built, line, message):
    file, pdf = built / DISCUSSION, built / "thesis" / f"thesis-{SMALL}.pdf"
    kept = file.read_text(encoding="utf-8")
    pdf.unlink(missing_ok=True)
    try:
        file.write_text(f"{kept}\n{line}\n", encoding="utf-8")
        code, said = make(built, "thesis", f"STUDY={SMALL}")
        assert code != 0
        assert message in said
        assert not pdf.exists()
    finally:
        file.write_text(kept, encoding="utf-8")


def test_an_edited_result_stops_the_build(built):
    file = built / "results" / SMALL / "wnut17" / "smollm2" / "seed1" / "predictions.jsonl"
    kept = file.read_text(encoding="utf-8")
    try:
        assert "person" in kept
        file.write_text(kept.replace("person", "group", 1), encoding="utf-8")
        code, said = make(built, "thesis", f"STUDY={SMALL}")
        assert code != 0
        assert "missing or changed since the run wrote it" in said
    finally:
        file.write_text(kept, encoding="utf-8")


@pytest.fixture(scope="module")
def finished(clone):
    """The clone with a finished demo study, its results made up."""
    script = "import sys; sys.path.insert(0, 'tests'); import synthetic; synthetic.write('demo', '')"
    environment = {"PYTHONPATH": str(clone)}
    subprocess.run([sys.executable, "-c", script], cwd=clone, env=environment, check=True)
    code, said = make(clone, "thesis")
    assert code == 0, said
    return clone


def test_a_demonstration_says_so_on_its_title_page(finished):
    pages = text_of(finished / "thesis" / "thesis.pdf").split("\f")
    assert "Demonstration" in pages[0]
    assert "no evidence" in " ".join(pages[0].split())


@contextmanager
def holding(path, content):
    """A file that holds something else for a while; neither its text nor its time changes in the end."""
    whole, times = path.read_bytes(), path.stat()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(whole)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def flipped(path, at=-3):
    """What a file holds, but for one bit."""
    whole = path.read_bytes()
    at %= len(whole)
    return whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]


def test_one_changed_bit_of_any_generated_file_or_figure_is_found(finished):
    digests = finished / "thesis" / "generated" / "demo" / "digests.json"
    files = [path for folder in (digests.parent, finished / "figures" / "demo") for path in folder.iterdir()]
    assert {"numbers.tex", "claims.tex", "tab_results.tex", "discussion.tex", "fig_f1.pdf"} <= {
        path.name for path in files
    }
    sealed.verify_files(digests, "")
    for path in files:
        for at in (0, path.stat().st_size // 2, -1):
            with holding(path, flipped(path, at)), pytest.raises(ResultError, match=path.name):
                sealed.verify_files(digests, "")
    sealed.verify_files(digests, "")


def test_an_edited_number_is_not_printed(finished):
    numbers = finished / "thesis" / "generated" / "demo" / "numbers.tex"
    edited = re.sub(rb"(minilm.micro_f1\}\{)[^}]*", rb"\g<1>99.9", numbers.read_bytes())
    assert edited != numbers.read_bytes()
    with holding(numbers, edited):
        for _ in range(2):  # nor the second time
            code, said = make(finished, "thesis")
            assert code != 0
            assert "thesis/generated/demo/numbers.tex: changed since it was written" in said
            assert "delete thesis/generated/demo figures/demo and run make thesis STUDY=demo" in said
    code, said = make(finished, "thesis")
    assert code == 0, said


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("manifest-*.json", b"{"),
        ("manifest-*.json", None),
        ("../../audit.json", b"\xff"),
        ("metrics.json", b""),
    ],
)
def test_a_damaged_file_is_one_message(finished, name, content):
    folder = finished / "results" / "demo" / "demo" / "minilm" / "seed1"
    path = next(folder.glob(name)).resolve()
    with holding(path, flipped(path) if content is None else content):
        code, said = make(finished, "thesis")
    assert code != 0
    assert f"{path.name}: damaged or edited" in said
    assert "run make study STUDY=demo" in said
    assert "Traceback" not in said
    assert len(said.splitlines()) < 8


def test_a_finished_study_does_nothing_until_something_it_rests_on_changes(finished):
    code, said = make(finished, "dry-run")
    assert code == 0, said
    assert "Nothing to be done" in said
    another = "OVERRIDES=minilm:model.training.epochs=5"
    code, said = make(finished, "dry-run", another)
    assert "Train and predict: demo, minilm, seed 1" in said
    assert "Train and predict: demo, smollm2" not in said
    assert "Thesis" in said
    code, said = make(finished, "thesis", another)
    assert code != 0
    assert "made with another configuration (model.training.epochs: stored 6, now 5)" in said
    code, said = make(finished, "dry-run", "OVERRIDES=protocol.resamples=60")
    assert "Train" not in said
    assert "Analyse" in said
    (finished / "results" / "demo" / "demo" / "minilm" / "seed1" / "metrics.json").unlink()
    code, said = make(finished, "dry-run")
    assert "Evaluate: demo, minilm, seed 1" in said
    assert "Train" not in said
    shutil.rmtree(finished / "results" / "demo")
    code, said = make(finished, "dry-run")
    assert "Train and predict: demo, smollm2-qlora" in said


@pytest.mark.parametrize(
    "path",
    [paths.THESIS / "chapters" / "results.tex", *sorted((paths.THESIS / "discussions").glob("*.tex"))],
    ids=lambda path: path.stem,
)
def test_no_number_is_typed_where_results_are_told(path):
    for number, line in enumerate(NO_PROSE.sub(" ", path.read_text(encoding="utf-8")).splitlines(), 1):
        assert not re.search(r"\d", line), f"{path.name}:{number}: {line}"


def test_the_search_for_typed_numbers_finds_one():
    assert re.search(r"\d", NO_PROSE.sub(" ", r"It reaches 44.1 points \result{a.b1} % 7"))
    assert not re.search(
        r"\d", NO_PROSE.sub(" ", r"It \claim{a.f1 > 3}{wins} by \result{a.f1} (\cref{fig:f1}) % 7")
    )


# A demonstration's results are never committed: those of a local run may be older than the code.
STUDIES = [name for name in config.names("studies") if config.load_study(name).kind == "study"]


@pytest.mark.parametrize("name", [name for name in STUDIES if (paths.RESULTS / name / "README.md").is_file()])
def test_committed_overviews_are_what_the_results_give(name, tmp_path):
    """Regenerated and compared, to the byte: the table and the picture that README shows, and the guide; and
    every claim of the study's texts holds."""
    results = study.load_results(name)
    committed = (paths.RESULTS / name / "README.md").read_text(encoding="utf-8")
    assert committed == discussion.overview(results)
    assert [claim for claim, truth in build.check_claims(results).items() if not truth] == []
    plots.save_figure(figures.fig_f1(results.undisturbed), tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == (paths.FIGURES / f"{name}.png").read_bytes()
