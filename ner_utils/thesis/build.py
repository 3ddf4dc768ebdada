"""Everything that a thesis takes from a study, written where LaTeX finds it."""

from __future__ import annotations

from pathlib import Path

from ner_utils.analyses import confidence, contamination, differences, benchmarks
from ner_utils import paths, sealed
from ner_utils.rendering import figures
from ner_utils.thesis import result_numbers
from ner_utils.results.study import Results


def write(results: Results) -> tuple[list[str], dict[str, bool]]:
    """Write figures, tables, numbers and checked claims; returns the names of figures and tables, and each
    claim's truth. Raises `ResultError` where something was not compiled, and `claims.ClaimError` on a claim
    that cannot be evaluated, everything else being written by then."""
    names = figures.save_figures(results)
    for room in (differences, confidence, contamination):
        names += room.write(results)
    for room in result_numbers.QUESTIONS.values():
        names += room.write(results.first_with(room.asked), results.name)
    names += benchmarks.write(results.name)
    checked = result_numbers.write(results)
    _seal(results.name)
    return names, checked


def digests(study: str) -> Path:
    """The list of checksums of what the analysis writes for LaTeX."""
    return paths.THESIS / "generated" / study / "digests.json"


def _seal(study: str) -> None:
    folders = (paths.THESIS / "generated" / study, paths.FIGURES / study)
    files = [path for folder in folders for path in folder.iterdir() if path != digests(study)]
    where = " ".join(map(paths.relative, folders))
    sealed.seal_files(digests(study), files, f"delete {where} and run make thesis STUDY={study}")
