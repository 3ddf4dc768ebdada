"""The thesis: built from committed results, and closed to numbers and judgements that do not hold."""

import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from ner_utils import config, paths, sealed, thesis
from ner_utils.rendering import figures, plots
from ner_utils.results import export, study
from ner_utils.sealed import ResultError
from ner_utils.thesis import build

pytestmark = pytest.mark.slow
BUILT = "scale-wnut17"  # the study whose thesis is built whole
# In place of LaTeX where only the steps before it matter: a PDF appears where one is expected.
LATEXMK = """#!/bin/sh
for argument; do case $argument in -output-directory=*) folder=${argument#*=};; esac; done
touch "$folder/thesis.log" "$folder/thesis.pdf"
"""
THESIS = r"""
\documentclass{scrreprt}
\usepackage{style}
\addbibresource{references.bib}
\input{author}
\loadresults
\defclaim{a.b < 0}{false}
\begin{document}
\makefrontmatter
\input{chapters/one}
\printbibliography
\end{document}
"""


def text_of(pdf):
    return subprocess.run(["pdftotext", pdf, "-"], capture_output=True, text=True, check=True).stdout


def run(folder, *command, **environment):
    """Exit code and output of a command in a project."""
    places = f"{folder / 'bin'}:{folder / '.venv' / 'bin'}:{os.environ['PATH']}"
    variables = os.environ | {"PYTHONPATH": str(folder), "PATH": places} | environment
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=variables, timeout=300)
    return done.returncode, done.stdout + done.stderr


def workflow(folder, name, *arguments, overrides=""):
    """What ``make thesis`` or, with ``--dry-run``, ``make dry-run`` runs."""
    (folder / "runs").mkdir(exist_ok=True)
    arguments = arguments or ("--config", "from_results=1")
    return run(folder, "scripts/batch.sh", name, overrides, *arguments)


# ------------------------------------------------------------------------------ LaTeX
def test_a_clone_builds_the_thesis_from_committed_results(clone):
    """And writes the overview, the table and the picture that README shows, to the byte as committed; every
    claim of the study's texts holds."""
    overviews = [Path("results", BUILT, "README.md"), Path("figures", f"{BUILT}.png")]
    for path in overviews:
        (clone / path).unlink()
    code, output = workflow(clone, BUILT)
    assert code == 0, output
    for path in overviews:
        assert (clone / path).read_bytes() == (paths.ROOT / path).read_bytes(), path
    claims = (clone / "thesis" / "generated" / BUILT / "claims.tex").read_text()
    assert r"}{true}" in claims
    assert r"}{false}" not in claims
    text = text_of(clone / "thesis" / f"thesis-{BUILT}.pdf")
    front, _, rest = text.partition("\f")
    settings = config.load_study(BUILT)
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
    code, output = workflow(clone, BUILT)
    assert code == 0
    assert "Nothing to be done" in output


def test_its_archive_compiles_where_there_is_no_kit(clone, tmp_path):
    assert workflow(clone, BUILT)[0] == 0
    code, output = run(clone, sys.executable, "-m", "ner_utils.sharing.overleaf", BUILT)
    assert (code, output) == (0, f"thesis/overleaf-{BUILT}.zip\n")
    shutil.unpack_archive(clone / "thesis" / f"overleaf-{BUILT}.zip", tmp_path)
    code, output = run(tmp_path, "latexmk", "-pdf", "-interaction=nonstopmode", "thesis.tex")
    assert code == 0, output
    assert "undefined" not in (tmp_path / "thesis.log").read_text(errors="replace")
    assert text_of(tmp_path / "thesis.pdf") == text_of(clone / "thesis" / f"thesis-{BUILT}.pdf")
    figures_there = tmp_path / "figures" / BUILT
    pdf, png, svg = (
        sorted(path.stem for path in figures_there.glob(f"*.{kind}")) for kind in ("pdf", "png", "svg")
    )
    assert pdf == png == svg and "fig_f1" in pdf
    code, output = run(clone, sys.executable, "-m", "ner_utils.sharing.overleaf", "formats")
    assert code == 1 and "run make thesis STUDY=formats" in output


@pytest.fixture(scope="module")
def project(plain_study):
    """A project with a thesis of one page, and everything that the analysis writes for it."""
    folder, results = plain_study
    with pytest.MonkeyPatch.context() as patch:
        for name in ("PARAMS", "RESULTS", "RUNS", "FIGURES", "THESIS"):
            patch.setattr(paths, name, folder / "project" / name.lower())
        shutil.copytree(folder / "params", paths.PARAMS)
        shutil.copytree(folder / "results", paths.RESULTS)
        thesis.write_for_thesis(results)
        for name in ("style.sty", "author.tex", "references.bib"):
            shutil.copy(Path(__file__).parents[2] / "thesis" / name, paths.THESIS)
        (paths.THESIS / "thesis.tex").write_text(THESIS)
        shutil.copytree(paths.ROOT / "scripts", folder / "project" / "scripts")
    (folder / "project" / "ner_utils").symlink_to(paths.ROOT / "ner_utils")
    (folder / "project" / ".venv").symlink_to(paths.ROOT / ".venv")
    return folder / "project"


def typeset(project, line):
    (project / "thesis" / "chapters").mkdir(exist_ok=True)
    (project / "thesis" / "chapters" / "one.tex").write_text(line)
    return run(project, "scripts/typeset.sh", "plain", "thesis.pdf")


def test_a_demonstration_says_so_on_its_title_page(project):
    known = (project / "thesis/generated/plain/claims.tex").read_text()
    (condition,) = re.findall(r"\\defclaim\{(demo.smollm2-qlora.failed .*?)\}", known)
    code, output = typeset(project, rf"\result{{demo.minilm.micro_f1}} \claim{{{condition}}}{{Words.}}")
    assert code == 0, output
    title = " ".join(text_of(project / "thesis.pdf").split("\f")[0].split())
    assert "Demonstration" in title
    assert "no evidence" in title
    (project / "thesis.pdf").unlink()


@pytest.mark.parametrize(
    ("line", "messages"),
    [
        (r"\claim{a.b < 0}{Nonsense.}", ["False claim"]),
        (r"\claim{a.c < 0}{Nonsense.}", ["Unchecked claim"]),
        (r"A score of \result{demo.minilm.no_such}.", ["Unknown result key"]),
        (
            r"As \textcite{nobody1900} says, see \cref{sec:nowhere}.",
            ["nobody1900", "sec:nowhere", "undefined"],
        ),
    ],
)
def test_what_does_not_hold_stops_the_build(project, line, messages):
    code, output = typeset(project, line)
    assert code != 0
    assert all(message in output for message in messages), output
    assert not (project / "thesis.pdf").exists()


# --------------------------------------------------------------------- before LaTeX
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
    """The content of a file with one other bit."""
    whole = path.read_bytes()
    at %= len(whole)
    return whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]


def test_one_changed_bit_of_any_generated_file_or_figure_is_noticed(project):
    digests = project / "thesis" / "generated" / "plain" / "digests.json"
    files = [path for folder in (digests.parent, project / "figures" / "plain") for path in folder.iterdir()]
    assert {"numbers.tex", "claims.tex", "tab_results.tex", "discussion.tex", "fig_f1.pdf"} <= {
        path.name for path in files
    }
    sealed.verify_files(digests, "")
    for path in files:
        for at in (0, -1):
            with holding(path, flipped(path, at)), pytest.raises(ResultError, match=path.name):
                sealed.verify_files(digests, "")
    sealed.verify_files(digests, "")


@pytest.fixture(scope="module")
def finished(clone):
    """The clone with a finished demo study, its results made up and its PDF empty."""
    (clone / "bin").mkdir()
    (clone / "bin" / "latexmk").write_text(LATEXMK)
    (clone / "bin" / "latexmk").chmod(0o755)
    script = "import sys; sys.path.insert(0, 'tests'); import synthetic; synthetic.write('demo', '')"
    code, output = run(clone, sys.executable, "-c", script)
    assert code == 0, output
    code, output = workflow(clone, "demo")
    assert code == 0, output
    yield clone
    shutil.rmtree(clone / "bin")


def test_an_edited_number_is_not_printed(finished):
    numbers = finished / "thesis" / "generated" / "demo" / "numbers.tex"
    edited = re.sub(rb"(minilm.micro_f1\}\{)[^}]*", rb"\g<1>99.9", numbers.read_bytes())
    assert edited != numbers.read_bytes()
    with holding(numbers, edited):
        for _ in range(2):  # nor the second time
            code, output = workflow(finished, "demo")
            assert code != 0
            assert "thesis/generated/demo/numbers.tex: changed since it was written" in output
            assert "delete thesis/generated/demo figures/demo and run make thesis STUDY=demo" in output
    code, output = workflow(finished, "demo")
    assert code == 0, output


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("manifest-*.json", None, "damaged or edited"),
        ("../../audit.json", b"\xff", "damaged or edited"),
        ("predictions.jsonl", None, "missing or changed since the run wrote it"),
    ],
)
def test_a_damaged_file_is_one_message(finished, name, content, message):
    path = next((finished / "results" / "demo" / "demo" / "minilm" / "seed1").glob(name)).resolve()
    with holding(path, flipped(path) if content is None else content):
        code, output = workflow(finished, "demo")
    assert code != 0
    assert f"{path.name}: {message}" in output
    assert "run make study STUDY=demo" in output
    assert "Traceback" not in output
    assert len(output.splitlines()) < 8


def test_a_finished_study_does_nothing_until_an_input_changes(finished):
    code, output = workflow(finished, "demo", "--dry-run")
    assert code == 0, output
    assert "Nothing to be done" in output
    another = "minilm:model.training.epochs=5"
    code, output = workflow(finished, "demo", "--dry-run", overrides=another)
    assert "Train and predict: demo, minilm, seed 1" in output
    assert "Train and predict: demo, smollm2" not in output
    assert "Thesis" in output
    code, output = workflow(finished, "demo", overrides=another)
    assert code != 0
    assert "made with another configuration (model.training.epochs: stored 6, now 5)" in output
    code, output = workflow(finished, "demo", "--dry-run", overrides="protocol.resamples=60")
    assert "Train" not in output
    assert "Analyse" in output
    (finished / "results" / "demo" / "demo" / "minilm" / "seed1" / "metrics.json").unlink()
    code, output = workflow(finished, "demo", "--dry-run")
    assert "Evaluate: demo, minilm, seed 1" in output
    assert "Train" not in output
    shutil.rmtree(finished / "results" / "demo")
    code, output = workflow(finished, "demo", "--dry-run")
    assert "Train and predict: demo, smollm2-qlora" in output


# A demonstration's results are never committed: those of a local run may be older than the code.
STUDIES = [
    name for name in config.names("studies") if config.load_study(name).kind == "study" and name != BUILT
]


@pytest.mark.parametrize("name", [name for name in STUDIES if (paths.RESULTS / name / "README.md").is_file()])
def test_committed_overviews_are_what_the_results_give(name, tmp_path, monkeypatch):
    """As in the first test, but without a thesis."""
    results = study.load_results(name)
    committed = (paths.RESULTS / name / "README.md").read_text(encoding="utf-8")
    assert committed == build.overview(results)
    assert [claim for claim, truth in build.check_claims(results).items() if not truth] == []
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    export.write_exports(results)
    for file in ("results.csv", "records.jsonl"):
        assert (tmp_path / name / file).read_bytes() == (paths.ROOT / "results" / name / file).read_bytes()
    plots.save_figure(figures.fig_f1(results.main), tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == (paths.FIGURES / f"{name}.png").read_bytes()
