"""The notebooks: their form, that none shows a private corpus, and that a fault in the package fails them."""

import json
import os
import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from nbval_run import NOTEBOOKS, OFFLINE, nbval

from ner_utils import paths


def cells(path, kind="code"):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def test_numbers_show_two_groups():
    """01 to 06 are the steps of a study, 11 to 18 answer one question each."""
    numbers = [*range(1, 7), *range(11, 19)]
    assert [path.name[:3] for path in NOTEBOOKS] == [f"{number:02}_" for number in numbers]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_form(path):
    """Thin: no definitions, no loops over runs, few and short cells; told in order."""
    code = cells(path)
    assert len(code) <= 15
    assert "parameters" in code[0].metadata.get("tags", [])
    assert "**Reads**" in cells(path, "markdown")[0].source
    assert "**Writes**" in cells(path, "markdown")[0].source
    for cell in code:
        lines = cell.source.splitlines()
        assert len(lines) <= 18, cell.source
        assert not any(line.lstrip().startswith(("def ", "class ")) for line in lines), cell.source
        assert "runs_of" not in cell.source, cell.source
    tags = [tag for cell in code for tag in cell.metadata.get("tags", [])]
    assert "nbval-check-output" in tags


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_as_run_from_top_to_bottom(path):
    code = cells(path)
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not any("execution" in cell.metadata for cell in code), "times of day: see .pre-commit-config.yaml"
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    text = path.read_text(encoding="utf-8")
    assert str(paths.ROOT) not in text and "site-packages" not in text, "a path of the machine it was run on"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_shows_a_picture_or_a_table_and_no_warning(path):
    outputs = [output for cell in cells(path) for output in cell.outputs]
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    assert kinds & {"image/png", "text/html"}
    assert not [output for output in outputs if output.get("name") == "stderr"]


def copy_project(folder):
    for name in ("ner_utils", "params", "notebooks", "corpora"):
        shutil.copytree(paths.ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))


@pytest.mark.slow
def test_a_private_corpus_is_shown_nowhere(tmp_path, demo):
    """No four words in a row: not in what notebooks print, nor in the results and figures they write."""
    rows = {
        tuple(words[i : i + 4])
        for sentences in demo.values()
        for sentence in sentences
        for words in [re.findall(r"\w+", sentence.text.lower())]
        for i in range(len(words) - 3)
    }

    def quoted(text):
        words = re.findall(r"\w+", text.lower())
        return [row for row in zip(words, words[1:], words[2:], words[3:], strict=False) if row in rows]

    def outputs(cells):
        return json.dumps([cell.outputs for cell in cells], ensure_ascii=False)

    copy_project(tmp_path)
    settings = tmp_path / "params" / "datasets" / "demo.yaml"
    settings.write_text(settings.read_text().replace("quotable: true", "private: true"))
    # One after another in one kernel, which saves starting four. Notebook 03 writes another form than the
    # committed one: every cell must take all forms.
    zero_shot = {"system": "smollm2-zero-shot", "seed": 0, "overrides": "model.output_format=inline"}
    together = nbformat.v4.new_notebook()
    for path, changes in zip(NOTEBOOKS, ({}, {}, zero_shot, {"study": "first-look"}), strict=False):
        code = cells(path)
        assert quoted(outputs(code)), "the committed notebook shows sentences"
        code[0].source += "".join(f"\n{name} = {value!r}" for name, value in changes.items())
        together.cells += [nbformat.v4.new_code_cell(cell.source) for cell in code]
    nbformat.write(together, tmp_path / "notebooks" / "together.ipynb")
    command = [sys.executable, "-m", "papermill", "--kernel", "python3", "--log-output"]
    done = subprocess.run(
        [*command, "together.ipynb", "executed.ipynb"], cwd=tmp_path / "notebooks",
        capture_output=True, text=True, env=os.environ | OFFLINE | {"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    shown = outputs(cells(tmp_path / "notebooks" / "executed.ipynb"))
    assert not quoted(shown + done.stdout + done.stderr)
    assert shown.count("its text is not shown") >= 4
    written = [path for path in (tmp_path / "results").rglob("*") if path.is_file()]
    assert written
    assert not [path for path in written if quoted(path.read_text(encoding="utf-8"))]


@pytest.mark.slow
def test_nbval_sees_a_bug(tmp_path):
    """A planted bug (spans lose their last token) must fail the notebooks' check."""
    copy_project(tmp_path)
    reader = tmp_path / "ner_utils" / "data" / "spans.py"
    healthy = 'if prefix in "IE" and continues:'
    assert healthy in reader.read_text()
    reader.write_text(reader.read_text().replace(healthy, 'if prefix in "IE" and not continues:'))
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    notebook = tmp_path / "notebooks" / "01_data_exploration.ipynb"
    done = nbval(tmp_path, [notebook], {"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1, done.stdout[-4000:]
    assert "mismatch" in done.stdout or "failed" in done.stdout
