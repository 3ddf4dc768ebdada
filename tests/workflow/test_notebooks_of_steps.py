"""The notebooks of a study's steps run as committed, without network."""

import pytest
from nbval_run import NOTEBOOKS, nbval

from ner_utils import paths


@pytest.mark.slow
def test_run_as_committed_without_network():
    done = nbval(paths.ROOT, [path for path in NOTEBOOKS if path.name.startswith("0")])
    assert done.returncode == 0, done.stdout[-4000:]
