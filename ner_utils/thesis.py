"""Everything that a thesis takes from a study, written where LaTeX finds it."""

from __future__ import annotations

from ner_utils import confidence, contamination, differences, paths, plots, report, speed
from ner_utils.study import Results


def write(results: Results) -> tuple[list[str], dict[str, bool]]:
    """Write figures, tables, numbers and checked claims; returns the names of figures and tables, and each
    claim's truth. Raises `ResultError` where something was not compiled, and `claims.ClaimError` on a claim
    that cannot be evaluated, everything else being written by then."""
    names = [path.stem for path in plots.save_all(results, paths.FIGURES / results.name)]
    for room in (differences, confidence, contamination):
        names += room.write(results)
    for room in report.QUESTIONS.values():
        names += room.write(results.told_by(room.asked), results.name)
    names += speed.write(results.name)
    return names, report.write(results)
