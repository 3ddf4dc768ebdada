"""A guide for whoever has to choose: what a study advises in some situations, and where its evidence ends.

``params/guide.yaml`` holds for each situation what may be advised, each with the condition over a pair's
results under which it is, in the order in which they are tried. A pair is an encoder and a generator as
`ledger.pairs` has them; a condition over results that a study does not have advises nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from ner_utils import claims, latex, ledger, paths, sections
from ner_utils.latex import Column, Raw
from ner_utils.schema import Strict
from ner_utils.study import Results


class Situation(Strict):
    """A situation, what may be advised in it, the label of the evidence, and what it does not cover."""

    situation: str
    advice: Annotated[dict[str, str], Field(min_length=1)]
    evidence: str
    ends: str


def load() -> list[Situation]:
    """The guide. Raises `ConfigError` where it is not of this form."""
    return sections.read_list(paths.PARAMS / "guide.yaml", Situation)


def advise(situation: Situation, pair: ledger.Pair) -> str | None:
    """What a pair's results advise; None where they say nothing."""
    for text, condition in situation.advice.items():
        try:
            if claims.evaluate(condition, pair.values):
                return text
        except ValueError:  # of a result that this study does not have
            continue
    return None


def tab_guide(results: Results, found: Mapping[str, float | str]) -> str:
    """For each pair of the study, and of those beside it, the situations of which its results speak."""
    rows: list[Any] = []
    for told in ledger.tell(results, found, load(), advise):
        advised = [
            [each.situation, text, Raw(rf"\cref{{{each.evidence}}}"), each.ends]
            for each, text in told.rows
            if text
        ]
        rows += [told.heading, *advised] if advised else []
    if not rows:
        return latex.statement(ledger.NOBODY, long=True)
    columns = [
        Column("Situation", layout="p{3cm}"),
        Column("Advice", layout="p{4.2cm}"),
        Column("Evidence"),
        Column("Where that ends", layout="p{4.3cm}"),
    ]
    return latex.tabular(columns, rows, long=True)
