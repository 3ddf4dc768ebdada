"""What the reproduced papers claim, and the verdict of a study's results on each claim.

``params/claims.yaml`` lists each claim with its scope and the conditions that decide it. Within its scope, a
claim is supported, contradicted or undecided; for a pair outside, the table only says what is observed. A
claim is about a pair of an encoder and a generator; a language model that tags is neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, Field, model_validator

from ner_utils import paths
from ner_utils.analyses import costs
from ner_utils.config import strict_yaml
from ner_utils.config.strict_yaml import Strict
from ner_utils.rendering import latex
from ner_utils.rendering.latex import Column, Raw
from ner_utils.results.study import Results, computed_once
from ner_utils.thesis import claims, numbers

FLOOR = 10.0  # micro F1 in percent below which a system has not learnt the task
NO_PAIR = "This study compares no encoder with a generator on the same sentences."
Bounds = Annotated[list[float], Field(min_length=2, max_length=2)]
# Names of gains in conditions, and the parts of the keys by which a comparison's numbers have them.
GAINS = {
    "gain": (),
    "gain.one": ("mention length", "1 token"),
    "gain.two": ("mention length", "2 tokens"),
    "gain.three": ("mention length", "3 or more"),
}
TIMES = ("training", "batches", "single", "median")  # of `costs.seconds_of`
# Keys that conditions may use; a study need not have each of these results.
_POSSIBLE = re.compile(
    r"(?:encoder|generator|fit)\.[\w.-]+"
    rf"|(?:{'|'.join(map(re.escape, GAINS))})\.(?:low|high|p)"
    rf"|time\.(?:{'|'.join(TIMES)})(?:\.(?:low|high))?"
)
# The word for each verdict on a pair outside of a claim's scope.
OBSERVED = {"supported": "agrees", "contradicted": "disagrees", "undecided": "undecided"}


def _condition(text: str) -> str:
    """A condition over a pair's results. Raises `ValueError` if it is none, or has a key that no pair has."""
    for key in claims.keys_of(text):
        if not _POSSIBLE.fullmatch(key):
            raise ValueError(
                f"no pair has a result {key}; keys begin with encoder, generator, gain, time or fit"
            )
    return text


Condition = Annotated[str, AfterValidator(_condition)]


class Scope(Strict):
    """The sizes and corpora that a claim is about; None: any."""

    encoder_millions: Bounds | None = None
    generator_millions: Bounds | None = None
    corpora: list[str] | None = None


class PaperClaim(Strict):
    """A claim in our words, perhaps with the paper's own and their page, and the conditions over a pair's
    results that decide it; a claim without conditions is not tested."""

    paper: Literal["A", "B"]
    statement: str
    quote: str | None = None
    page: str | None = None
    scope: Scope
    estimated: bool = False  # the conditions are over estimates, not measurements
    supported: Condition | None = None
    contradicted: Condition | None = None
    evidence: str | None = None  # a label of the thesis

    @model_validator(mode="after")
    def _both(self) -> PaperClaim:
        for one, other in (("quote", "page"), ("supported", "contradicted")):
            if (getattr(self, one) is None) != (getattr(self, other) is None):
                raise ValueError(f"{one} and {other}: give both or neither")
        return self


def load() -> list[PaperClaim]:
    """The claims of ``params/claims.yaml``. Raises `ConfigError`."""
    return strict_yaml.read_list(paths.PARAMS / "claims.yaml", PaperClaim)


# ------------------------------------------------------------------------------ pairs
class Pair(NamedTuple):
    """A trained encoder and a trained generator that learnt from the same sentences: their corpus, their rows
    of `Results.summary`, the results that conditions may use, by key, and the study if it is a companion."""

    dataset: str
    encoder: Mapping[str, Any]
    generator: Mapping[str, Any]
    values: dict[str, float]
    companion: str = ""

    @property
    def learnt(self) -> bool:
        """Whether both systems have learnt the task; otherwise the pair decides nothing."""
        return min(self.encoder["micro_f1"], self.generator["micro_f1"]) >= FLOOR

    def name(self, corpus: bool = False) -> str:
        """The pair's name in tables, with or without its ``corpus``."""
        systems = (self.encoder, self.generator)
        text = " and ".join(system["label"] for system in systems)
        text += f", {self.encoder['corpus']}" if corpus else ""
        text += ", F1 " + " and ".join(f"{system['micro_f1']:.1f}" for system in systems)
        return text + (f" (study {self.companion})" if self.companion else "")


@computed_once
def pairs_by_study(results: Results) -> list[dict[str, Pair]]:
    """The pairs of a study by their names, then those of each of its companions."""
    values, studies = numbers.result_values(results), []
    for study in (results, *results.companions):
        prefix = "" if study is results else f"{study.name}."
        own = {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}
        several = len({*results.corpora, *study.corpora}) > 1
        named = (pair._replace(companion=prefix.removesuffix(".")) for pair in pairs(study, own))
        studies.append({pair.name(several): pair for pair in named})
    return studies


def pairs(results: Results, values: Mapping[str, float | str]) -> Iterator[Pair]:
    """The declared comparisons of a trained encoder with a trained generator on the same sentences, from the
    study's numbers by key."""
    for dataset, encoder, generator in _compared_kinds(results, "encoder", "generator"):
        systems = (encoder["system"], generator["system"])
        yield Pair(dataset, encoder, generator, _values(results, values, dataset, *systems))


def no_pair(results: Results) -> str:
    """The text of a table without pairs, which names the LLM taggers that were compared instead."""
    others = [
        f"{first['label']} ({kinds[0]}) with {second['label']} ({kinds[1]})"
        for kinds in (("LLM tagger", "generator"), ("encoder", "LLM tagger"))
        for _, first, second in _compared_kinds(results, *kinds)
    ]
    return NO_PAIR + (f" It compares {'; '.join(others)}." if others else "")


def _compared_kinds(results: Results, *kinds: str) -> Iterator[tuple[str, Mapping, Mapping]]:
    """The declared comparisons of systems of two kinds that learnt from the same sentences: dataset and rows
    of `Results.summary`, in the order of the kinds."""
    rows = {(row["dataset"], row["system"]): row for row in results.summary.to_dict("records")}
    for dataset in results.study.datasets:
        for names in results.study.protocol.comparisons:
            pair = {rows[dataset, name]["kind"]: rows[dataset, name] for name in names}
            if pair.keys() == set(kinds):
                first, second = (pair[kind] for kind in kinds)
                if 0 < first["train_sentences"] == second["train_sentences"]:
                    yield dataset, first, second


def _values(
    results: Results, numbers: Mapping[str, Any], dataset: str, encoder: str, generator: str
) -> dict[str, float]:
    """The results of a pair that conditions may use."""
    values = {key: value for key, value in numbers.items() if key.startswith("fit.")}
    for role, system in (("encoder", encoder), ("generator", generator)):
        prefix = claims.key(dataset, system) + "."
        own = {key.removeprefix(prefix): value for key, value in numbers.items() if key.startswith(prefix)}
        values |= {f"{role}.{key}": value for key, value in own.items()}
    if any(run.held_out for run in results.systems if run.system in (encoder, generator)):
        # Trained without some types, they are not comparable with other systems in anything else.
        return {key: value for key, value in values.items() if ".flexibility." in key}
    for name, at in GAINS.items():
        values |= _difference(name, numbers, dataset, generator, encoder, *at)
    slow, quick = (costs.timed(results, dataset, system) for system in (generator, encoder))
    for how in TIMES:
        if times := costs.ratio(slow, quick, how):
            keys = (f"time.{how}{end}" for end in ("", ".low", ".high"))
            values |= zip(keys, times, strict=True)
    same = values.get("generator.loss_agrees") == 100  # both choose the same checkpoints, which tests nothing
    for run in results.systems:
        if run.base and run.base.system == generator and run.selected_by == "loss" and not same:
            values |= _difference("generator.regret", numbers, dataset, generator, run.system)
    return values


def _difference(
    name: str, numbers: Mapping[str, Any], dataset: str, a: str, b: str, *bucket: str
) -> dict[str, float]:
    """By keys that begin with a name, the interval of a's score minus b's and its corrected p; empty if they
    were not compared, or the bucket is empty."""
    for pair, sign in ((f"{a}-vs-{b}", 1), (f"{b}-vs-{a}", -1)):
        keys = (claims.key(dataset, pair, *bucket, part) for part in ("low", "high", "p_holm"))
        low, high, p = map(numbers.get, keys)
        if low is not None:
            low, high = sorted((sign * low, sign * high))
            return {f"{name}.low": low, f"{name}.high": high} | ({} if p is None else {f"{name}.p": p})
    return {}


# --------------------------------------------------------------------------- verdicts
def verdict(claim: PaperClaim, pair: Pair) -> str | None:
    """A pair's verdict on a claim: supported, contradicted or undecided, marked if it rests on estimates, or,
    outside of the claim's scope, what is observed; None if the pair lacks the results or has not learnt."""
    if not (claim.supported and pair.learnt):
        return None
    supported, contradicted = (
        claims.holds(condition, pair.values) for condition in (claim.supported, claim.contradicted)
    )
    if supported or contradicted:
        observed = "supported" if supported else "contradicted"
    elif None in (supported, contradicted):
        return None
    else:
        observed = "undecided"
    if not in_scope(claim.scope, pair):
        return f"out of scope; observed: {OBSERVED[observed]}"
    return f"{observed} (estimated)" if claim.estimated else observed


def in_scope(scope: Scope, pair: Pair) -> bool:
    """Whether a claim is about a pair."""
    for bounds, row in ((scope.encoder_millions, pair.encoder), (scope.generator_millions, pair.generator)):
        if bounds and not bounds[0] <= row["parameters_millions"] <= bounds[1]:
            return False
    return scope.corpora is None or paths.corpus(pair.dataset) in scope.corpora


Row = tuple[PaperClaim, str | None]


def verdicts(results: Results) -> Iterator[tuple[str, list[Row]]]:
    """By the name of each pair of a study, its verdicts on the claims, of a further pair only those that
    differ from the pair before; then the verdicts of companions' pairs on claims that have none so far."""
    open_claims = load()
    for named in pairs_by_study(results):
        before: list[Row] = []
        decided: list[str] = []
        for name, pair in named.items():
            rows = [(claim, verdict(claim, pair)) for claim in open_claims]
            shown = [row for row in rows if row not in before and (row[1] or not pair.companion)]
            decided += [claim.statement for claim, text in rows if text]
            before = rows
            if shown:
                yield name, shown
        open_claims = [claim for claim in open_claims if claim.statement not in decided]


def tab_ledger(results: Results) -> str:
    """Each claim, with the verdicts of the pairs of the study and of its companions."""
    rows: list[Any] = []
    for name, block in verdicts(results):
        rows.append(name)
        for claim, text in block:
            label = Raw(rf"\cref{{{claim.evidence}}}") if claim.evidence and text else None
            rows.append([claim.paper, _quoted(claim), text or "not tested", label])
    if not rows:
        return latex.statement(no_pair(results), long=True)
    columns = [
        Column("Paper"),
        Column("Claim", layout="p{6cm}"),
        Column("Verdict", layout="p{4.3cm}"),
        Column("Evidence"),
    ]
    return latex.tabular(columns, rows, long=True)


def _quoted(claim: PaperClaim) -> Raw:
    """A claim in our words, with the paper's own and their page, or marked as a paraphrase."""
    words = latex.escape(claim.statement)
    if claim.quote and claim.page:
        return Raw(rf"{words} \enquote{{{latex.escape(claim.quote)}}} (p.~{latex.escape(claim.page)})")
    return Raw(f"{words} (paraphrase)")
