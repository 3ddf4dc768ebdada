"""The commands of README and docs, run as they are written, in a copy of the project.

Blocks marked ``sh`` or ``python`` are run; those marked ``bash`` take too long, or change the machine.
"""

import re
import shutil
import subprocess
import sys

import pytest

from ner_utils import paths

DOCS = sorted((paths.ROOT / "docs").glob("*.md"))
BLOCKS = [
    pytest.param(language, text, id=f"{page.stem}-{number}")
    for page in DOCS
    for number, (language, text) in enumerate(
        re.findall(r"^```(sh|python)\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    )
]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project's own files, with its environment."""
    folder = tmp_path_factory.mktemp("docs") / "project"
    left_out = shutil.ignore_patterns(".*", "runs", "generated", "__pycache__")
    shutil.copytree(paths.ROOT, folder, ignore=left_out)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("language", "text"), BLOCKS)
def test_commands_work_as_written(project, language, text, monkeypatch):
    needs_wnut17 = "WNUT-17" in text or "wnut17-cpu" in text
    if needs_wnut17 and not any(folder.is_dir() for folder in paths.data_dirs("wnut17")):
        pytest.skip("WNUT-17 is not in NER_DATA_DIR")
    if not needs_wnut17:
        monkeypatch.setenv("NER_DATA_DIR", str(project.parent / "corpora"))
    monkeypatch.setenv("PYTHONPATH", str(project))
    command = ["bash", "-euo", "pipefail", "-c"] if language == "sh" else [sys.executable, "-c"]
    done = subprocess.run([*command, text], cwd=project, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
