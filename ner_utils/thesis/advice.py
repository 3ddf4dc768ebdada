"""Advice for some situations, as far as a study's results support it.

``params/guide.yaml`` lists, for each situation, the advice that may be given, each with its condition over
the results of a pair of `paper_claims`; the first condition that holds decides. A condition over missing
results does not hold, and a pair that has not `learnt` the task supports no advice. Of several pairs on a
corpus, the first declared one that supports any advice is taken, so that pairs cannot contradict each other.
"""

from __future__ import annotations

from typing import Annotated, Any

import pandas as pd
from pydantic import Field

from ner_utils import paths
from ner_utils.config import strict_yaml
from ner_utils.config.strict_yaml import Strict
from ner_utils.rendering import latex
from ner_utils.rendering.latex import Column, Raw
from ner_utils.results.study import Results, computed_once
from ner_utils.thesis import claims, paper_claims
from ner_utils.thesis.paper_claims import Condition, Pair

NO_SUPPORT = (
    "No pair of this study supports an advice: a system has not learnt the task, or results are missing."
)


class Situation(Strict):
    """A situation, the pairs that may support advice in it (None: all), each advice with its condition, the
    label of the evidence in the thesis, and the limits of the advice."""

    situation: str
    pairs: Condition | None = None
    advice: Annotated[dict[str, Condition], Field(min_length=1)]
    evidence: str
    limits: str


def load() -> list[Situation]:
    """The situations of ``params/guide.yaml``. Raises `ConfigError`."""
    return strict_yaml.read_list(paths.PARAMS / "guide.yaml", Situation)


def advice_of(pair: Pair, situation: Situation) -> str | None:
    """The advice that a pair's results support in a situation, if any."""
    if not pair.learnt or situation.pairs and not claims.holds(situation.pairs, pair.values):
        return None
    supported = (text for text, condition in situation.advice.items() if claims.holds(condition, pair.values))
    return next(supported, None)


@computed_once
def advise(results: Results) -> pd.DataFrame:
    """One row a situation and corpus: pair, situation, advice, evidence, limits. The advice is that of the
    study, or else of the first companion that supports any."""
    rows = []
    for situation in load():
        for named in paper_claims.pairs_by_study(results):
            first: dict[str, tuple[str, str]] = {}
            for name, pair in named.items():
                if text := advice_of(pair, situation):
                    first.setdefault(pair.dataset, (name, text))
            about = situation.evidence, situation.limits
            rows += [(name, situation.situation, text, *about) for name, text in first.values()]
            if first:
                break
    return pd.DataFrame(rows, columns=["pair", "situation", "advice", "evidence", "limits"])


def overview(results: Results) -> str:
    """The advice in Markdown, for readers of the results; empty if there is none."""
    advised = advise(results)
    lines: list[str] = []
    for pair, rows in advised.groupby("pair", sort=False):
        lines += [f"\n{pair}:\n"]
        lines += [f"- **{row.situation}**: {row.advice} *Limits:* {row.limits}" for row in rows.itertuples()]
    source = (
        "Conditions: [guide.yaml](../../params/guide.yaml). The first pair that supports any advice is shown."
    )
    return "\n".join(["## Advice\n", source, *lines, ""]) if lines else ""


def tab_guide(results: Results) -> str:
    """The advice in a table of the thesis, or why there is none."""
    rows: list[Any] = []
    for pair, block in advise(results).groupby("pair", sort=False):
        rows.append(pair)
        rows += [
            [row.situation, row.advice, Raw(rf"\cref{{{row.evidence}}}"), row.limits]
            for row in block.itertuples()
        ]
    if not rows:
        paired = next(paper_claims.pairs(results, {}), None)
        return latex.statement(NO_SUPPORT if paired else paper_claims.no_pair(results), long=True)
    columns = [
        Column("Situation", layout="p{3cm}"),
        Column("Advice", layout="p{4.2cm}"),
        Column("Evidence"),
        Column("Limits", layout="p{4.3cm}"),
    ]
    return latex.tabular(columns, rows, long=True)
