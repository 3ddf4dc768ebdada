"""A guide for whoever has to choose: what a study advises in some situations, and where its evidence ends.

``params/guide.yaml`` holds for each situation what may be advised, each with the condition over a pair's
results under which it is, in the order in which they are tried, and what a pair must be for any of it. A pair
is an encoder and a generator as `ledger.pairs` has them; a condition over results that a study does not have
advises nothing, and neither does a system that has not learnt the task (`FLOOR`). Of several pairs, the first
declared one that says anything about a situation is taken: pairs do not contradict each other in the guide.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import pandas as pd
from pydantic import Field

from ner_utils.thesis import claims, paper_claims
from ner_utils.rendering import latex
from ner_utils import paths
from ner_utils.config import sections
from ner_utils.rendering.latex import Column, Raw
from ner_utils.thesis.paper_claims import Condition
from ner_utils.config.schema import Strict
from ner_utils.results.study import Results

FLOOR = 10.0  # micro F1 in percent below which a system has not learnt the task


class Situation(Strict):
    """A situation, which pairs speak of it (all, if left out), what may be advised in it, the label of the
    evidence, and what it does not cover."""

    situation: str
    pairs: Condition | None = None
    advice: Annotated[dict[str, Condition], Field(min_length=1)]
    evidence: str
    ends: str


def load() -> list[Situation]:
    """The guide. Raises `ConfigError` where it is not of this form."""
    return sections.read_list(paths.PARAMS / "guide.yaml", Situation)


def advise(situation: Situation, pair: paper_claims.Pair) -> str | None:
    """What a pair's results advise; None where they say nothing, or where a system has not learnt the task.
    Raises `ValueError` on a condition that is none."""

    def holds(condition: str) -> bool:
        try:
            return claims.evaluate(condition, pair.values)
        except claims.UnknownResult:
            return False

    if min(pair.encoder["micro_f1"], pair.generator["micro_f1"]) < FLOOR:
        return None
    if situation.pairs and not holds(situation.pairs):
        return None
    return next((text for text, condition in situation.advice.items() if holds(condition)), None)


def advice(results: Results, found: Mapping[str, float | str]) -> pd.DataFrame:
    """What is advised, one row a situation and corpus: pair, situation, advice, evidence, ends. It is that of
    the first declared pair of the study that says anything about the situation, else of its companions'.
    ``found`` are the numbers of all of them by key."""
    rows = []
    for each in load():
        for study in (results, *results.companions):
            said: dict[str, tuple[str, str]] = {}
            for heading, pair in paper_claims.named_pairs(results, study, found):
                if pair.dataset not in said and (text := advise(each, pair)):
                    said[pair.dataset] = heading, text
            rows += [
                (heading, each.situation, text, each.evidence, each.ends) for heading, text in said.values()
            ]
            if said:
                break
    return pd.DataFrame(rows, columns=["pair", "situation", "advice", "evidence", "ends"])


def nothing(results: Results) -> str:
    """What the table says where nothing is advised."""
    if next(paper_claims.pairs(results, {}), None) is None:
        return paper_claims.no_pair(results)
    return (
        "No pair of this study supports an advice: a system has not learnt the task, or results are missing."
    )


def overview(advised: pd.DataFrame) -> str:
    """The guide in Markdown, for whoever browses the results; empty where nothing is advised."""
    lines: list[str] = []
    for pair, rows in advised.groupby("pair", sort=False):
        lines += [f"\n{pair}:\n"]
        lines += [
            f"- **{row.situation}**: {row.advice} *Where that ends:* {row.ends}" for row in rows.itertuples()
        ]
    said = "By the conditions of [guide.yaml](../../params/guide.yaml), of the first pair that says anything."
    return "\n".join(["## What it advises\n", said, *lines, ""]) if lines else ""


def tab_guide(advised: pd.DataFrame, instead: str = paper_claims.NO_PAIR) -> str:
    """The guide in a table of the thesis; ``instead`` is its text where nothing is advised."""
    rows: list[Any] = []
    for pair, block in advised.groupby("pair", sort=False):
        rows.append(pair)
        rows += [
            [row.situation, row.advice, Raw(rf"\cref{{{row.evidence}}}"), row.ends]
            for row in block.itertuples()
        ]
    if not rows:
        return latex.statement(instead, long=True)
    columns = [
        Column("Situation", layout="p{3cm}"),
        Column("Advice", layout="p{4.2cm}"),
        Column("Evidence"),
        Column("Where that ends", layout="p{4.3cm}"),
    ]
    return latex.tabular(columns, rows, long=True)
