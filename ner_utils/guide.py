"""A guide for whoever has to choose: what a study advises in some situations, and where its evidence ends.

``params/guide.yaml`` holds for each situation what may be advised, each with the condition over a pair's
results under which it is, in the order in which they are tried, and what a pair must be for any of it. A pair
is an encoder and a generator as `ledger.pairs` has them; a condition over results that a study does not have
advises nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import pandas as pd
from pydantic import Field

from ner_utils import claims, latex, ledger, paths, sections
from ner_utils.latex import Column, Raw
from ner_utils.schema import Strict
from ner_utils.study import Results


class Situation(Strict):
    """A situation, which pairs speak of it (all, if not said), what may be advised in it, the label of the
    evidence, and what it does not cover."""

    situation: str
    pairs: str | None = None
    advice: Annotated[dict[str, str], Field(min_length=1)]
    evidence: str
    ends: str


def load() -> list[Situation]:
    """The guide. Raises `ConfigError` where it is not of this form."""
    return sections.read_list(paths.PARAMS / "guide.yaml", Situation)


def advise(situation: Situation, pair: ledger.Pair) -> str | None:
    """What a pair's results advise; None where they say nothing."""

    def holds(condition: str) -> bool:
        try:
            return claims.evaluate(condition, pair.values)
        except ValueError:  # of a result that this study does not have
            return False

    if situation.pairs and not holds(situation.pairs):
        return None
    return next((text for text, condition in situation.advice.items() if holds(condition)), None)


def advice(results: Results, found: Mapping[str, float | str]) -> pd.DataFrame:
    """For each pair of the study, and of those beside it, the situations of which its results speak: pair,
    situation, advice, evidence, ends. ``found`` are the numbers of all of them by key."""
    rows = [
        (heading, each.situation, text, each.evidence, each.ends)
        for heading, told in ledger.tell(results, found, load(), advise)
        for each, text in told
        if text
    ]
    return pd.DataFrame(rows, columns=["pair", "situation", "advice", "evidence", "ends"])


def overview(advised: pd.DataFrame) -> str:
    """The guide in Markdown, for whoever browses the results; empty where nothing is advised."""
    lines: list[str] = []
    for pair, rows in advised.groupby("pair", sort=False):
        lines += [f"\n{pair}:\n"]
        lines += [
            f"- **{row.situation}**: {row.advice} *Where that ends:* {row.ends}" for row in rows.itertuples()
        ]
    said = "By the conditions of [guide.yaml](../../params/guide.yaml); of each further pair, what is new."
    return "\n".join(["## What it advises\n", said, *lines, ""]) if lines else ""


def tab_guide(advised: pd.DataFrame) -> str:
    """The guide in a table of the thesis."""
    rows: list[Any] = []
    for pair, block in advised.groupby("pair", sort=False):
        rows.append(pair)
        rows += [
            [row.situation, row.advice, Raw(rf"\cref{{{row.evidence}}}"), row.ends]
            for row in block.itertuples()
        ]
    if not rows:
        return latex.statement(ledger.NOBODY, long=True)
    columns = [
        Column("Situation", layout="p{3cm}"),
        Column("Advice", layout="p{4.2cm}"),
        Column("Evidence"),
        Column("Where that ends", layout="p{4.3cm}"),
    ]
    return latex.tabular(columns, rows, long=True)
