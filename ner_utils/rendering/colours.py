"""Colours for readers with any colour vision: of systems in figures, and of entity types everywhere."""

from __future__ import annotations

import itertools

from ner_utils.config.dataset import Dataset

# Okabe and Ito's colours (jfly.uni-koeln.de/color), in an order in which neighbours differ in grey, too.
SYSTEMS = ("#0072B2", "#E69F00", "#000000", "#CC79A7", "#009E73", "#D55E00", "#56B4E9")
# Paul Tol's light scheme (sronpersonalpages.nl/~pault), which is made for black text on it; then paler.
TYPES = ("#77AADD", "#EE8866", "#EEDD88", "#FFAABB", "#99DDFF", "#44BB99", "#BBCC33", "#AAAA00", "#DDDDDD")
TYPES += ("#BBD4EE", "#F6C3B2", "#F6EEC3", "#FFD4DD", "#CCEEFF", "#A1DDCC", "#DDE599", "#D4D47F", "#EEEEEE")


def type_colours(dataset: Dataset) -> dict[str, str]:
    """The background colour of each entity type of a corpus, in the corpus' order; more than 18 types share
    colours, so that a type's name must always be written, too."""
    return dict(zip(dataset.types, itertools.cycle(TYPES), strict=False))
