"""What does a study ask of its predictions? One file for each question, registered here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from ner_utils.analyses import (
    confidence,
    contamination,
    costs,
    differences,
    examples,
    flexibility,
    label_efficiency,
    robustness,
)
from ner_utils.rendering import plots
from ner_utils.results.study import Results


class Question(NamedTuple):
    """How a question is answered: from a study's results, or from the ``answer`` that is made of them."""

    module: ModuleType
    answer: Callable[[Results], Any] = lambda results: results
    # For questions of some studies: how many systems of a study were made for it. Where this is 0, tables and
    # figures are those of the first companion study that has such systems.
    count_systems: Callable[[Results], int] = lambda _: 0
    crowded: bool = False  # the figures of the text show the main systems, those of the appendix all

    @property
    def numbers(self) -> Callable[[Results], Iterable[tuple[tuple[str, ...], float]]]:
        """The module's ``numbers``, if it has any: values to quote, by the parts of their keys."""
        return getattr(self.module, "numbers", lambda _: ())

    @property
    def shown(self) -> list[Callable[[Any], str | Figure]]:
        """The module's tables (LaTeX) and figures of the answer, its functions ``tab_*`` and ``fig_*``."""
        return [make for name, make in vars(self.module).items() if name.startswith(("tab_", "fig_"))]


# By the names under which texts ask whether a study has systems for a question.
QUESTIONS = {
    "disturbed": Question(robustness, robustness.changes, robustness.count_systems),
    "flexible": Question(flexibility, flexibility.scores, flexibility.count_systems),
    "confidence": Question(confidence, confidence.stored_reports, crowded=True),
    "contamination": Question(contamination, contamination.stored_reports),
    "label_efficiency": Question(label_efficiency, label_efficiency.series, label_efficiency.count_systems),
    "examples": Question(examples, count_systems=examples.count_corpora),
    "costs": Question(costs, crowded=True),
    "differences": Question(differences, differences.stored_reports, crowded=True),
}


def write_answers(results: Results) -> list[str]:
    """Write what all questions show where the study's thesis finds it; returns the names. Raises
    `ResultError` where findings are not stored."""
    names = []
    for question in QUESTIONS.values():
        study = results.first_with(question.count_systems)
        whole = main = question.answer(study)
        if question.crowded and study.main is not study.undisturbed:
            main = question.answer(study.main)
        drawn = [make for make in question.shown if make.__name__.startswith("fig_")]
        shown = {make.__name__: make(whole) for make in question.shown if make not in drawn}
        names += plots.save_for_thesis(results.name, shown | plots.main_and_all(drawn, main, whole))
    return names
