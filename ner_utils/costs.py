"""What systems cost in money, and from which volume on one is cheaper than another.

Money is time at the prices by the hour that a study declares for its machine. All systems of a study run on
one machine, so that a volume at which two cost the same does not depend on the price.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ner_utils import latex, tuning
from ner_utils.latex import Column
from ner_utils.study import Results

Row = Mapping[str, Any]  # of `Results.summary`


def dollars(seconds: float, price: float) -> float:
    """Of so many seconds at a price by the hour."""
    return seconds / 3600 * price


def seconds_of(row: Row) -> dict[str, float]:
    """Seconds of training with its looks, of 1,000 sentences in the batches that are best for the system, and
    of 1,000 one at a time, which is the same batch for all."""
    training = [
        0.0 if row[name] != row[name] else row[name] for name in ("training_seconds", "looks_seconds")
    ]
    return {
        "training": sum(training),
        "best": 1000 / row["sentences_per_second"],
        "single": row["latency_mean_ms"],
    }


def break_even(a: Row, b: Row, how: str = "best") -> float | None:
    """Sentences after which ``a`` and ``b`` have cost the same, training included; None where one of them is
    cheaper from the first sentence on, or always was."""
    first, second = seconds_of(a), seconds_of(b)
    ahead = second["training"] - first["training"]  # what a has saved before it begins
    slower = (first[how] - second[how]) / 1000
    return ahead / slower if slower and ahead / slower > 0 else None


def verdict(a: Row, b: Row, how: str = "best") -> str:
    """Who is cheaper, and where that changes."""
    volume = break_even(a, b, how)
    first, second = seconds_of(a), seconds_of(b)
    cheap = (
        a
        if first[how] < second[how] or (first[how] == second[how] and first["training"] < second["training"])
        else b
    )
    return f"{cheap['label']}, from {volume:,.0f} sentences on" if volume else f"{cheap['label']}, always"


def tab_costs(results: Results) -> str:
    """Cents for training and for 1,000 sentences, at the lower and the higher price."""
    prices = results.study.protocol.dollars_per_hour
    if not prices:
        return latex.statement("This study declares no price of its machine.")
    columns = [Column("System")]
    for over in ("Training", "1,000 sentences, batches", "1,000, one at a time"):
        columns += [Column(title, layout="r", over=over) for title in ("low", "high")]

    def row(values: Row) -> Sequence:
        spent = seconds_of(values).values()
        cents = (100 * dollars(seconds, price) for seconds in spent for price in prices)
        return [values["label"], *map(latex.significant, cents)]

    return latex.tabular(columns, latex.blocks(results.undisturbed.summary, row))


def tab_break_even(results: Results) -> str:
    """For each declared comparison, which system is the cheaper one, and from which volume on."""
    rows: list[Sequence] = []
    for pair in results.comparisons.to_dict("records"):
        a, b = (_row(results, pair["dataset"], pair[side]) for side in ("a", "b"))
        many = f"{pair['corpus']}: " if len(results.corpora) > 1 else ""
        rows.append([f"{many}{a['label']}", b["label"], verdict(a, b), verdict(a, b, "single")])
    if not rows:
        return latex.statement("This study declares no comparison.")
    columns = [
        Column("System", layout="p{3cm}"),
        Column("Against", layout="p{3cm}"),
        Column("Cheaper in batches", layout="p{3.6cm}"),
        Column("Cheaper one at a time", layout="p{3.6cm}"),
    ]
    return latex.tabular(columns, rows)


def tab_tuning(results: Results) -> str:
    """What each search for hyperparameters spent and found."""
    if not results.tuning:
        return latex.statement("No system of this study was tuned: settings are as declared.")
    prices = results.study.protocol.dollars_per_hour or []
    columns = [Column("System"), Column("Trials", 0)]
    columns += [Column(title, 1, over=r"Dev \Fone") for title in ("declared", "lowest", "chosen")]
    columns += [Column("Minutes", 1), Column(r"Cost (\$)", layout="r"), Column("Chosen")]
    rows: list[Any] = []
    for run, found in results.tuning:
        many = f"{run.dataset.label}: " if len(results.corpora) > 1 else ""
        scores = [100 * trial["dev_f1"] for trial in found["trials"]]
        money = " to ".join(f"{dollars(found['seconds'], price):.3f}" for price in prices)
        row = [many + run.label, len(scores), scores[0], min(scores), max(scores), found["seconds"] / 60]
        rows.append([*row, money, tuning.say(found["chosen"])])
    return latex.tabular(columns, rows)


def tab_energy(results: Results) -> str:
    """Energy of training, and of a thousand sentences, in watt hours; loading included."""
    columns = [Column("System"), Column("Training (Wh)", 2), Column(r"1,000 sentences (Wh)", 2)]
    rows = [
        [row["label"], row["training_joules"] / 3600, row["prediction_joules"] / 3.6 / row["sentences"]]
        for row in results.undisturbed.summary.to_dict("records")
    ]
    return latex.tabular(columns, rows)


def tables(results: Results) -> dict[str, str]:
    """File names without suffix, and what belongs into them."""
    return {make.__name__: make(results) for make in (tab_costs, tab_break_even, tab_tuning, tab_energy)}


def numbers(results: Results) -> dict[tuple[str, ...], float]:
    """Volumes of `break_even` in batches, 0 for never, by the parts of their keys."""
    found = {}
    for pair in results.comparisons.to_dict("records"):
        a, b = (_row(results, pair["dataset"], pair[side]) for side in ("a", "b"))
        found[pair["dataset"], f"{pair['a']}-vs-{pair['b']}", "break_even"] = break_even(a, b) or 0.0
    return found


def _row(results: Results, dataset: str, system: str) -> dict[str, Any]:
    frame = results.summary
    return frame[(frame["dataset"] == dataset) & (frame["system"] == system)].to_dict("records")[0]
