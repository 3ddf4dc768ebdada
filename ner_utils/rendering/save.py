"""Tables and figures, written where a study's thesis finds them."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from ner_utils import paths
from ner_utils.rendering import latex, plots


def write(study: str, tables: Mapping[str, str], figures: Mapping[str, Figure]) -> list[str]:
    """Write them below their names without suffix, and close the figures; returns the names."""
    for name, text in tables.items():
        latex.write(paths.THESIS / "generated" / study / f"{name}.tex", text)
    for name, figure in figures.items():
        plots.save(figure, paths.FIGURES / study / f"{name}.pdf")
        plt.close(figure)
    return [*tables, *figures]
