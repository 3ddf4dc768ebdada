"""What does a study ask of its predictions? One file for each question, registered here."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from matplotlib.figure import Figure

from ner_utils.analyses import (
    confidence,
    contamination,
    costs,
    differences,
    flexibility,
    label_efficiency,
    robustness,
)
from ner_utils.rendering import plots
from ner_utils.results.study import Results


class Question(NamedTuple):
    """The functions of a study's results that answer a question."""

    numbers: Callable[[Results], dict[tuple[str, ...], float]]  # values to quote, by the parts of their keys
    tables: Callable[[Results], dict[str, str]]  # LaTeX, by file names without suffix
    figures: Callable[[Results], dict[str, Figure]] = lambda _: {}  # by file names without suffix
    # For questions of some studies: how many systems of a study were made for it. Where this is 0, tables and
    # figures are those of the first companion study that has such systems.
    count_systems: Callable[[Results], int] = lambda _: 0


# By the names under which texts ask whether a study has systems for a question.
QUESTIONS = {
    "disturbed": Question(
        robustness.numbers, robustness.tables, robustness.figures, robustness.count_systems
    ),
    "flexible": Question(flexibility.numbers, flexibility.tables, count_systems=flexibility.count_systems),
    "confidence": Question(confidence.numbers, confidence.tables, confidence.figures),
    "contamination": Question(contamination.numbers, contamination.tables),
    "label_efficiency": Question(
        label_efficiency.numbers,
        label_efficiency.tables,
        label_efficiency.figures,
        label_efficiency.count_systems,
    ),
    "costs": Question(costs.numbers, costs.tables),
    "differences": Question(differences.numbers, differences.tables, differences.figures),
}


def write_answers(results: Results) -> list[str]:
    """Write the tables and figures of all questions where the study's thesis finds them; returns their names.
    Raises `ResultError` where the findings of a question are not stored."""
    names = []
    for question in QUESTIONS.values():
        source = results.first_with(question.count_systems)
        names += plots.save_for_thesis(results.name, question.tables(source), question.figures(source))
    return names
