"""Run notebooks without network and compare their outputs with the stored ones."""

import os
import subprocess
import sys

from ner_utils import paths

NOTEBOOKS = sorted(paths.NOTEBOOKS.glob("*.ipynb"))
OFFLINE = {"HF_HUB_OFFLINE": "1", "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}


def nbval(folder, notebooks, environment=None):
    """The finished pytest that ran ``notebooks`` in ``folder``."""
    command = [sys.executable, "-m", "pytest", "--nbval", "-q", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, *map(str, notebooks)],
        cwd=folder, capture_output=True, text=True, env=os.environ | OFFLINE | (environment or {}),
    )  # fmt: skip
