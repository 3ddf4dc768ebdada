"""Whatever is read, no exception but the one that is announced: a small form of ``bench/fuzz.py``."""

import runpy

import pytest

from ner_utils import paths

KINDS = runpy.run_path(str(paths.ROOT / "bench" / "fuzz.py"))["KINDS"]


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_refused_or_read(kind, tmp_path):
    """No number's input is read wrongly; ``python bench/fuzz.py KIND 1 NUMBER`` shows one that is."""
    found = {seed: KINDS[kind](seed, tmp_path) for seed in range(300)}
    assert {seed: wrong for seed, wrong in found.items() if wrong} == {}
