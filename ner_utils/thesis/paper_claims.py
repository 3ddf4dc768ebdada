"""The ledger: what the reproduced papers claim, and what a study says to it.

``params/claims.yaml`` holds each claim with its scope and the conditions that decide it. A study decides only
what lies in its scope: supported, contradicted, or undecided; for what lies outside, the table says what is
observed. A claim is about encoders and generators: a language model that tags is neither.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, Field, model_validator

from ner_utils.thesis import claims
from ner_utils.analyses import costs
from ner_utils.rendering import latex
from ner_utils import paths
from ner_utils.config import sections
from ner_utils.rendering.latex import Column, Raw
from ner_utils.config.schema import Strict
from ner_utils.results.study import Results

NO_PAIR = "This study compares no encoder with a generator on the same sentences."
Bounds = Annotated[list[float], Field(min_length=2, max_length=2)]
# Names of gains, and where they stand among the numbers of a comparison.
GAINS = {"gain": (), "gain.one": ("mention length", "1 token"), "gain.three": ("mention length", "3 or more")}
TIMES = ("training", "batches", "single", "median")  # of `costs.seconds_of`
_KEY = re.compile(r"[^\W\d][\w.-]*\.[\w.-]*\w")
# Keys that conditions may ask for; whether a pair has such a result is another question.
_POSSIBLE = re.compile(
    r"(?:encoder|generator|fit)\.[\w.-]+"
    rf"|(?:{'|'.join(map(re.escape, GAINS))})\.(?:low|high|p)"
    rf"|time\.(?:{'|'.join(TIMES)})(?:\.(?:low|high))?"
)
# What each verdict is called of a pair outside of a claim's scope.
OBSERVED = {"supported": "agrees", "contradicted": "disagrees", "undecided": "undecided"}


def _condition(text: str) -> str:
    """A condition over a pair's results. Raises `ValueError` where it is none, whatever the results are."""
    for key in _KEY.findall(text):
        if not _POSSIBLE.fullmatch(key):
            raise ValueError(
                f"no pair has a result {key}; expected encoder, generator, gain, time or fit first"
            )
    try:
        claims.evaluate(text, {})
    except claims.UnknownResult:  # it is well formed
        pass
    except (TypeError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"not a condition ({error})") from None
    return text


Condition = Annotated[str, AfterValidator(_condition)]


class Scope(Strict):
    """Where a claim was made; what it does not name does not matter to it."""

    encoder_millions: Bounds | None = None
    generator_millions: Bounds | None = None
    corpora: list[str] | None = None


class Entry(Strict):
    """A claim in our words, or in the paper's with the page, and conditions over a pair's results; without
    them nothing decides it yet."""

    paper: Literal["A", "B"]
    says: str
    quote: str | None = None
    page: str | None = None
    scope: Scope
    estimated: bool = False  # the conditions ask for estimates, not for measurements
    supported: Condition | None = None
    contradicted: Condition | None = None
    evidence: str | None = None  # a label of the thesis

    @model_validator(mode="after")
    def _both(self) -> Entry:
        if (self.quote is None) != (self.page is None):
            raise ValueError("quote and page: give both or neither")
        return self


class Pair(NamedTuple):
    """A trained encoder and a trained generator that learnt from the same sentences, and their results."""

    dataset: str
    encoder: Mapping[str, Any]
    generator: Mapping[str, Any]
    values: dict[str, float]


def load() -> list[Entry]:
    """The ledger. Raises `ConfigError` where it is not of this form."""
    return sections.read_list(paths.PARAMS / "claims.yaml", Entry)


class Told(NamedTuple):
    """What a pair says to entries of a list (None: nothing), below the pair's name."""

    heading: str
    rows: list[tuple[Any, str | None]]


def tell(
    results: Results,
    found: Mapping[str, float | str],
    entries: Sequence[Any],
    say: Callable[[Any, Pair], str | None],
) -> Iterator[Told]:
    """What each pair of a study says to each entry, of further pairs what they say otherwise than the one
    before; then what the pairs of the studies beside it say where nobody before them said anything. ``found``
    are the numbers of all of them by key."""
    silent = list(entries)
    for study in (results, *results.companions):
        told: list[Told] = []
        before: list[tuple[Any, str | None]] = []
        for name, pair in named_pairs(results, study, found):
            rows = [(entry, say(entry, pair)) for entry in silent]
            told.append(Told(name, [row for row in rows if row not in before]))
            before = rows
        answered = [Told(name, [row for row in rows if row[1]]) for name, rows in told]
        yield from (each for each in (told if study is results else answered) if each.rows)
        silent = [
            entry for entry in silent if all(entry is not one for _, rows in answered for one, _ in rows)
        ]


def named_pairs(
    results: Results, study: Results, found: Mapping[str, float | str]
) -> Iterator[tuple[str, Pair]]:
    """The pairs of ``study``, which is ``results`` or one beside it, each with its name in tables. ``found``
    are the numbers of all of them by key."""
    prefix = "" if study is results else f"{study.name}."
    numbers = {key.removeprefix(prefix): value for key, value in found.items() if key.startswith(prefix)}
    for pair in pairs(study, numbers):
        systems = (pair.encoder, pair.generator)
        name = " and ".join(system["label"] for system in systems)
        name += f", {pair.encoder['corpus']}" if len({*results.corpora, *study.corpora}) > 1 else ""
        name += ", F1 " + " and ".join(f"{system['micro_f1']:.1f}" for system in systems)
        yield name + (f" (study {study.name})" if prefix else ""), pair


def pairs(results: Results, found: Mapping[str, float | str]) -> Iterator[Pair]:
    """The declared comparisons of a trained encoder with a trained generator on the same sentences; ``found``
    are the study's numbers by key. Systems that were kept from seeing types speak of these alone."""
    for dataset, encoder, generator in _compared_kinds(results, "encoder", "generator"):
        systems = (encoder["system"], generator["system"])
        yield Pair(dataset, encoder, generator, _values(results, found, dataset, *systems))


def _compared_kinds(results: Results, *kinds: str) -> Iterator[tuple[str, Mapping, Mapping]]:
    """The declared comparisons of systems of two kinds that learnt from the same sentences, as dataset and
    rows of `Results.summary`, in the order of the kinds."""
    rows = {(row["dataset"], row["system"]): row for row in results.summary.to_dict("records")}
    for dataset in results.study.datasets:
        for names in results.study.protocol.comparisons:
            pair = {rows[dataset, name]["kind"]: rows[dataset, name] for name in names}
            if pair.keys() == set(kinds):
                first, second = (pair[kind] for kind in kinds)
                if 0 < first["train_sentences"] == second["train_sentences"]:
                    yield dataset, first, second


def no_pair(results: Results) -> str:
    """What a table says in place of pairs: there is none, and which LLM taggers were compared instead."""
    others = [
        f"{row['label']} (LLM tagger) with {generator['label']} (generator)"
        for _, row, generator in _compared_kinds(results, "LLM tagger", "generator")
    ]
    others += [
        f"{encoder['label']} (encoder) with {row['label']} (LLM tagger)"
        for _, encoder, row in _compared_kinds(results, "encoder", "LLM tagger")
    ]
    return NO_PAIR + (f" It compares {'; '.join(others)}." if others else "")


def _values(
    results: Results, found: Mapping[str, Any], dataset: str, encoder: str, generator: str
) -> dict[str, float]:
    """What conditions may ask of a pair."""
    values = {key: value for key, value in found.items() if key.startswith("fit.")}
    for role, system in (("encoder", encoder), ("generator", generator)):
        mine = claims.key(dataset, system) + "."
        values |= {
            f"{role}.{key.removeprefix(mine)}": value for key, value in found.items() if key.startswith(mine)
        }
    if any(run.held_out for run in results.systems if run.system in (encoder, generator)):
        return {key: value for key, value in values.items() if ".flexibility." in key}
    bounds = {name: _compared(found, dataset, generator, encoder, *bucket) for name, bucket in GAINS.items()}
    slow, quick = (costs.timed(results, dataset, system) for system in (generator, encoder))
    for how in TIMES:
        if times := costs.ratio(slow, quick, how):
            values[f"time.{how}"] = times.estimate
            bounds[f"time.{how}"] = {"low": times.low, "high": times.high}
    if values.get("generator.loss_agrees") == 100:
        bounds["generator.regret"] = {"low": 0.0, "high": 0.0}  # the same checkpoints
    for run in results.systems:
        if run.base and run.base.system == generator and run.selected_by == "loss":
            bounds.setdefault("generator.regret", _compared(found, dataset, generator, run.system))
    return values | {
        f"{name}.{part}": value for name, parts in bounds.items() for part, value in parts.items()
    }


def _compared(found: Mapping[str, Any], dataset: str, a: str, b: str, *bucket: str) -> dict[str, float]:
    """The interval of a's score less b's and its corrected p; nothing of what nobody compared, or of an
    empty bucket."""
    for names, sign in ((f"{a}-vs-{b}", 1), (f"{b}-vs-{a}", -1)):
        low, high, p = (
            found.get(claims.key(dataset, names, *bucket, part)) for part in ("low", "high", "p_holm")
        )
        if low is not None:
            low, high = sorted((sign * low, sign * high))
            return {"low": low, "high": high} | ({} if p is None else {"p": p})
    return {}


def verdict(entry: Entry, pair: Pair) -> str | None:
    """What a pair says to a claim: supported, contradicted or undecided, marked where that rests on
    estimates, or, outside of its scope, what is observed there; None where the pair has no such results.
    Raises `ValueError` on a condition that is none."""
    if not entry.supported:
        return None
    conditions = {"supported": entry.supported, "contradicted": entry.contradicted}
    try:
        seen = next(
            (name for name, text in conditions.items() if claims.evaluate(text, pair.values)), "undecided"
        )
    except claims.UnknownResult:
        return None
    if not in_scope(entry.scope, pair):
        return f"out of scope; observed: {OBSERVED[seen]}"
    return f"{seen} (estimated)" if entry.estimated else seen


def in_scope(scope: Scope, pair: Pair) -> bool:
    """Whether a pair is what a claim speaks of."""
    for bounds, row in ((scope.encoder_millions, pair.encoder), (scope.generator_millions, pair.generator)):
        if bounds and not bounds[0] <= row["parameters_millions"] <= bounds[1]:
            return False
    return scope.corpora is None or paths.corpus(pair.dataset) in scope.corpora


def tab_ledger(results: Results, found: Mapping[str, float | str]) -> str:
    """Each claim, and what each pair of the study, and of those beside it, says to it."""
    rows: list[Any] = []
    for told in tell(results, found, load(), verdict):
        rows.append(told.heading)
        for entry, said in told.rows:
            label = Raw(rf"\cref{{{entry.evidence}}}") if entry.evidence and said else None
            rows.append([entry.paper, _quoted(entry), said or "not tested", label])
    if not rows:
        return latex.statement(no_pair(results), long=True)
    columns = [
        Column("Paper"),
        Column("Claim", layout="p{6cm}"),
        Column("Verdict", layout="p{4.3cm}"),
        Column("Evidence"),
    ]
    return latex.tabular(columns, rows, long=True)


def _quoted(entry: Entry) -> Raw:
    """A claim in our words, with the paper's own and their page, or marked as a paraphrase."""
    words = latex.escape(entry.says)
    if entry.quote and entry.page:
        return Raw(rf"{words} \enquote{{{latex.escape(entry.quote)}}} (p.~{latex.escape(entry.page)})")
    return Raw(f"{words} (paraphrase)")
