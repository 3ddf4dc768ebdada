"""The tables of what came out, as LaTeX tabulars: corpora, scores, comparisons, cost."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence

import pandas as pd

from ner_utils import latex
from ner_utils.latex import Column, Raw
from ner_utils.prompts import DROPPED
from ner_utils.study import STATUSES, Results

F1 = r"\Fone"


def all_tables(results: Results) -> dict[str, str]:
    """File names without suffix, and what belongs into them."""
    return {
        "tab_corpus": corpus(results),
        "tab_audit": audit(results),
        "tab_results": scores(results),
        "tab_types": types(results),
        "tab_comparisons": comparisons(results),
        "tab_parse": parse(results),
        "tab_efficiency": efficiency(results),
    }


def _blocks(frame: pd.DataFrame, row: Callable[[dict], Sequence]) -> Iterator[Sequence | str]:
    """Rows under a heading for each corpus; a single corpus needs none."""
    for label, block in frame.groupby("corpus", sort=False):
        if frame["corpus"].nunique() > 1:
            yield label
        yield from map(row, block.to_dict("records"))


def _narrow(label: str) -> Raw:
    """A system's label as the title of a narrow column."""
    lines = [latex.escape(line) for line in textwrap.wrap(label, 16, break_on_hyphens=False)] or [""]
    return Raw(r"\shortstack{" + r"\\".join(lines) + "}") if len(lines) > 1 else Raw(lines[0])


# ----------------------------------------------------------------------------- corpora
def corpus(results: Results) -> str:
    """Sizes of the splits."""
    columns = [
        Column("Split"),
        *(Column(title, 0) for title in ("Sentences", "Documents", "Tokens", "Mentions")),
    ]
    columns += [
        Column(r"\shortstack{Mentions per\\100 tokens}", 1),
        Column(r"\shortstack{Without\\mention (\%)}", 1),
    ]
    columns += [Column(title, 0, over="Tokens per sentence") for title in ("median", "95th", "max")]
    rows: list[Sequence | str] = []
    for label, report in results.corpora.items():
        rows.append(f"{label}, {len(report['splits']['train']['types'])} types")
        for name, split in report["splits"].items():
            sizes = [split[key] for key in ("sentences", "documents", "tokens", "mentions")]
            shares = [100 * split["mentions"] / split["tokens"], 100 * (split["empty_share"] or 0)]
            rows.append([name, *sizes, *shares, *split["sentence_tokens"].values()])
    return latex.tabular(columns, rows)


def audit(results: Results) -> str:
    """What to know before trusting a score on a corpus."""
    rows: list[Sequence | str] = []
    for label, report in results.corpora.items():
        surfaces, ambiguous = (latex.number(report[key]) for key in ("surfaces", "ambiguous_surfaces"))
        rows.append(f"{label}: {surfaces} distinct surfaces, {ambiguous} of them with two or more types")
        splits = report["splits"].values()
        for title, cell in _FINDINGS.items():
            rows.append([title, *(cell(split) for split in splits)])
    names = next(iter(results.corpora.values()))["splits"]
    return latex.tabular([Column(""), *(Column(name, layout="r") for name in names)], rows)


def _count(key: str, share_of: str | None = None) -> Callable[[dict], str | None]:
    def cell(split: dict) -> str | None:
        if split[key] is None:
            return None
        share = f" ({latex.percent(100 * split[key] / split[share_of])})" if share_of and split[key] else ""
        return Raw(latex.number(split[key]) + share)

    return cell


_FINDINGS = {
    "Sentences that repeat an earlier one of the split": _count("duplicates", "sentences"),
    Raw(r"\quad with other labels than the first copy"): _count("conflicting_duplicates"),
    "Sentences that also stand in train": _count("in_train", "sentences"),
    "Mentions": _count("mentions"),
    Raw(r"\quad unseen in train, ignoring case"): _count("unseen_mentions", "mentions"),
    Raw(r"\quad unseen in train, with case"): _count("unseen_mentions_cased", "mentions"),
    Raw(r"\quad whose surface occurs again in the sentence"): _count("repeated_mentions", "mentions"),
    Raw(r"\quad of one / two / three or more tokens"): lambda split: " / ".join(
        latex.number(count) for count in split["mention_tokens"].values()
    ),
    "Malformed tags, repaired": _count("repaired_tags"),
}


# ----------------------------------------------------------------------------- results
def scores(results: Results) -> str:
    """Strict scores with intervals."""
    columns = [Column("System"), Column("Runs", 0), *(Column(title, 1) for title in ("P", "R"))]
    for metric in ("Micro", "Macro"):
        columns += [Column(F1, 1, over=metric), Column(r"95\,\% interval", over=metric)]

    def row(values: dict) -> Sequence:
        cells = [values["label"], values["seeds"], values["precision"], values["recall"]]
        for metric in ("micro_f1", "macro_f1"):
            cells += [values[metric], latex.interval(values[f"{metric}_low"], values[f"{metric}_high"])]
        return cells

    return latex.tabular(columns, _blocks(results.summary, row))


def types(results: Results) -> str:
    """F1 by type, with the number of gold mentions in test."""
    systems = dict(zip(results.types["system"], results.types["label"], strict=True))
    f1 = results.types.set_index(["corpus", "type", "system"])["f1"].to_dict()
    columns = [Column("Type"), Column("Mentions", 0)]
    columns += [Column(_narrow(label), 1) for label in systems.values()]

    def row(values: dict) -> Sequence:
        found = [f1[values["corpus"], values["type"], system] for system in systems]
        return [values["type"], values["mentions"], *found]

    return latex.tabular(columns, _blocks(results.types.drop_duplicates(["corpus", "type"]), row))


def comparisons(results: Results) -> str:
    """The declared comparisons, tested."""
    if results.comparisons.empty:
        return latex.statement("This study declares no comparison.")
    columns = [Column("System"), Column("Against"), Column("Difference", 1), Column(r"95\,\% interval")]
    columns += [Column("$p$", layout="r"), Column("$p$ (Holm)", layout="r")]

    def row(values: dict) -> Sequence:
        bounds = latex.interval(values["low"], values["high"])
        tests = [Raw(latex.p_value(values[key])) for key in ("p", "p_holm")]
        return [values["label_a"], values["label_b"], values["difference"], bounds, *tests]

    return latex.tabular(columns, _blocks(results.comparisons, row))


def parse(results: Results) -> str:
    """How generated answers could be read, and what was dropped from them."""
    generative = results.summary[results.summary["approach"] == "generation"]
    if generative.empty:
        return latex.statement("No system of this study writes answers.")
    columns = [Column("System"), Column("Answers", 0)]
    columns += [Column(title, 1, over=r"Answers (\%)") for title in (*STATUSES, "cut off")]
    columns += [Column("Items", 0)]
    columns += [Column(reason.replace("_", " "), 1, over=r"Items dropped (\%)") for reason in DROPPED]
    keys = [
        "label",
        "sentences",
        *STATUSES,
        "cut_off",
        "answered",
        *(f"dropped.{reason}" for reason in DROPPED),
    ]
    return latex.tabular(columns, _blocks(generative, lambda row: [row[key] for key in keys]))


def efficiency(results: Results) -> str:
    """Cost: parameters, training, latency, throughput, memory."""
    groups = {
        "Parameters (M)": {"all": ("parameters_millions", 1), "trained": ("trainable_millions", 1)},
        "Training": {"sentences": ("train_sentences", 0), "seconds": ("training_seconds", 0)},
        "Latency (ms)": {
            "mean": ("latency_mean_ms", 0),
            "median": ("latency_p50_ms", 0),
            "95th": ("latency_p95_ms", 0),
        },
        "Throughput": {"sent./s": ("sentences_per_second", 1), "batch": ("batch_size", 0)},
        "Memory (MiB)": {"training": ("training_memory_mib", 0), "prediction": ("memory_mib", 0)},
    }
    cells = [(over, title, *cell) for over, group in groups.items() for title, cell in group.items()]
    columns = [Column("System"), *(Column(title, digits, over=over) for over, title, _, digits in cells)]
    row = lambda values: [values["label"], *(values[key] for _, _, key, _ in cells)]  # noqa: E731
    return latex.tabular(columns, _blocks(results.summary, row))
