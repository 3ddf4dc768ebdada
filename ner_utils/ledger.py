"""The ledger: what the reproduced papers claim, and what a study says to it.

``params/claims.yaml`` holds each claim with its scope and the conditions that decide it. A study decides only
what lies in its scope: supported, contradicted, or undecided; what it sees outside is told as such.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from ner_utils import claims, latex, paths, sections
from ner_utils.latex import Column, Raw
from ner_utils.schema import Strict
from ner_utils.study import Results

NOBODY = "This study compares no encoder with a generator on the same sentences."
Bounds = Annotated[list[float], Field(min_length=2, max_length=2)]
# Names of gains, and where they stand among the numbers of a comparison.
GAINS = {"gain": (), "gain.one": ("mention length", "1 token"), "gain.three": ("mention length", "3 or more")}


class Scope(Strict):
    """Where a claim was made; what it does not name does not matter to it."""

    encoder_millions: Bounds | None = None
    generator_millions: Bounds | None = None
    corpora: list[str] | None = None


class Entry(Strict):
    """A claim, and conditions over a pair's results; without them nothing decides it yet."""

    paper: Literal["A", "B"]
    says: str
    scope: Scope
    supported: str | None = None
    contradicted: str | None = None
    evidence: str | None = None  # a label of the thesis


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
    for study in (results, *results.beside):
        mine = "" if study is results else f"{study.name}."
        numbers = {key.removeprefix(mine): value for key, value in found.items() if key.startswith(mine)}
        told: list[Told] = []
        before: list[tuple[Any, str | None]] = []
        for pair in pairs(study, numbers):
            arms = (pair.encoder, pair.generator)
            name = " and ".join(arm["label"] for arm in arms)
            name += f", {pair.encoder['corpus']}" if len({*results.corpora, *study.corpora}) > 1 else ""
            name += ", F1 " + " and ".join(f"{arm['micro_f1']:.1f}" for arm in arms)
            name += f" (study {study.name})" if mine else ""
            rows = [(entry, say(entry, pair)) for entry in silent]
            told.append(Told(name, [row for row in rows if row not in before]))
            before = rows
        answered = [Told(name, [row for row in rows if row[1]]) for name, rows in told]
        yield from (each for each in (answered if mine else told) if each.rows)
        silent = [
            entry for entry in silent if all(entry is not one for _, rows in answered for one, _ in rows)
        ]


def pairs(results: Results, found: Mapping[str, float | str]) -> Iterator[Pair]:
    """The declared comparisons of a trained encoder with a trained generator on the same sentences; ``found``
    are the study's numbers by key. Systems that were kept from seeing types speak of these alone."""
    rows = {(row["dataset"], row["system"]): row for row in results.summary.to_dict("records")}
    for dataset in results.study.datasets:
        for names in results.study.protocol.comparisons:
            a, b = (rows[dataset, name] for name in names)
            if {a["approach"], b["approach"]} != {"tagging", "generation"}:
                continue
            if 0 < a["train_sentences"] == b["train_sentences"]:
                encoder, generator = (a, b) if a["approach"] == "tagging" else (b, a)
                systems = (encoder["system"], generator["system"])
                yield Pair(dataset, encoder, generator, _values(results, found, dataset, *systems))


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
    """What a pair says to a claim: supported, contradicted or undecided, or, outside of its scope, what is
    seen there; None where it has no such results."""
    if not entry.supported:
        return None
    conditions = {"supported": entry.supported, "contradicted": entry.contradicted}
    try:
        seen = next(
            (name for name, text in conditions.items() if claims.evaluate(text, pair.values)), "undecided"
        )
    except ValueError:  # of a result that this study does not have
        return None
    return seen if in_scope(entry.scope, pair) else f"not tested ({seen} outside its scope)"


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
            rows.append([entry.paper, entry.says, said or "not tested", label])
    if not rows:
        return latex.statement(NOBODY, long=True)
    columns = [
        Column("Paper"),
        Column("Claim", layout="p{6cm}"),
        Column("Verdict", layout="p{4.3cm}"),
        Column("Evidence"),
    ]
    return latex.tabular(columns, rows, long=True)
