"""The tables of the thesis, as LaTeX tabulars, and the prompts in its appendix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pandas as pd

from ner_utils import latex
from ner_utils.data import Sentence
from ner_utils.forms import DROPPED
from ner_utils.latex import Column, Raw, escape
from ner_utils.prompts import form
from ner_utils.run import Run
from ner_utils.spans import Span
from ner_utils.study import STATUSES, Results

Row = Sequence | str  # cells, or a heading
# Keys of a model that writes which the table of hyperparameters shows.
_WRITING = ("output_format", "type_order", "loss", "dev_draw", "constrained", "max_new_tokens")
# An example of our own, since a corpus' sentences may not be ours to print. What a corpus calls by
# one of these names is annotated, the rest is not.
EXAMPLE = ("Marta", "Kowal", "from", "Kraków", "takes", "aspirin", "against", "malaria", ".")
EXAMPLE_MENTIONS = {"person": (0, 2), "location": (3, 4), "chemical": (5, 6), "disease": (7, 8)}


def all_tables(results: Results) -> dict[str, str]:
    """File names without suffix, and what belongs into them."""
    found = {f"tab_{make.__name__}": make(results) for make in (protocol, provenance, runs, comparisons)}
    makers = (corpus, audit, hyperparameters, prompts)
    makers += (scores, conventions, ensembles, types, parse, efficiency)
    found |= {f"tab_{make.__name__}": make(results.undisturbed) for make in makers}
    return found | {"tab_results": found.pop("tab_scores")}


def _blocks(frame: pd.DataFrame, row: Callable[[dict], Sequence]) -> Iterator[Row]:
    """Rows under a heading for each corpus; a single corpus needs none."""
    for label, block in frame.groupby("corpus", sort=False):
        if frame["corpus"].nunique() > 1:
            yield label
        yield from map(row, block.to_dict("records"))


# ----------------------------------------------------------------------------- corpora
def corpus(results: Results) -> str:
    """Sizes of the splits."""
    sizes = ("sentences", "documents", "tokens", "mentions")
    columns = [Column("Split"), *(Column(size.capitalize(), 0) for size in sizes)]
    columns.append(Column(r"\shortstack{Without\\mention (\%)}", 1))
    columns += [Column(title, 0, over="Tokens per sentence") for title in ("median", "95th", "max")]
    rows: list[Row] = []
    for label, report in results.corpora.items():
        rows.append(f"{label}, {len(report['splits']['train']['types'])} types")
        for name, split in report["splits"].items():
            empty = 100 * (split["empty_share"] or 0)
            rows.append([name, *(split[size] for size in sizes), empty, *split["sentence_tokens"].values()])
    return latex.tabular(columns, rows)


# What an audit found: the count, and what it is a share of.
FINDINGS = {
    "Sentences that repeat an earlier one of the split": ("duplicates", "sentences"),
    Raw(r"\quad with other labels than the first copy"): ("conflicting_duplicates", None),
    "Sentences that also stand in train": ("in_train", "sentences"),
    "Mentions unseen in train, ignoring case": ("unseen_mentions", "mentions"),
    Raw(r"\quad with case"): ("unseen_mentions_cased", "mentions"),
    "Mentions whose surface occurs again in the sentence": ("repeated_mentions", "mentions"),
    "Malformed tags, repaired": ("repaired_tags", None),
    # These are counted where a corpus has offsets.
    "Mentions that overlap a longer one, dropped": ("overlapping_mentions", None),
    "Mentions of parts that lie apart, kept as one": ("discontinuous_mentions", None),
    "Mentions across the end of a sentence, joined": ("split_mentions", None),
    "Mentions with a border inside a token, widened": ("widened_mentions", None),
}


def audit(results: Results) -> str:
    """What to know before trusting a score on a corpus."""
    rows: list[Row] = []
    for label, report in results.corpora.items():
        surfaces, ambiguous = (latex.number(report[key]) for key in ("surfaces", "ambiguous_surfaces"))
        rows.append(f"{label}: {surfaces} distinct surfaces, {ambiguous} of them with two or more types")
        splits = report["splits"]
        for title, (key, whole) in FINDINGS.items():
            counts = [_count(split.get(key), split.get(whole)) for split in splits.values()]
            rows += [[title, *counts]] if any(counts) else []
        lengths = (map(latex.number, split["mention_tokens"].values()) for split in splits.values())
        rows.append(["Mentions of one / two / three or more tokens", *map(" / ".join, lengths)])
    return latex.tabular([Column(""), *(Column(name, layout="r") for name in splits)], rows)


def _count(count: int | None, whole: int | None) -> Raw | None:
    if count is None:
        return None
    share = f" ({latex.percent(100 * count / whole)})" if whole and count else ""
    return Raw(latex.number(count) + share)


# ------------------------------------------------------------------------------ set-up
def _facts(facts: Iterable[tuple[str, str]]) -> str:
    return latex.tabular([Column(""), Column("", layout="p{10.5cm}")], facts)


def protocol(results: Results) -> str:
    """What was declared before the first run."""
    rules, labels = (
        results.study.protocol,
        dict(zip(results.runs["system"], results.runs["label"], strict=True)),
    )
    sample = f"a sample of {rules.dev_sample} dev sentences" if rules.dev_sample else "all of dev"
    test = f"a sample of {rules.test_sentences} sentences" if rules.test_sentences else "all sentences"
    facts = {
        "Question": results.study.question,
        "Corpora": "; ".join(results.corpora),
        "Systems": "; ".join(labels.values()),
        "Seeds": ", ".join(map(str, results.study.seeds)),
        "Primary score": Raw(rf"strict {rules.primary_metric.removesuffix('_f1')} \Fone"),
        "Comparisons": "; ".join(f"{labels[a]} against {labels[b]}" for a, b in rules.comparisons) or "none",
        "Looks at dev": f"{rules.looks} a run; tagging on all of dev, generation on {sample}",
        "Test": test,
        "Latency": f"{rules.latency_sentences} sentences, one at a time",
        "Resampling": f"{latex.number(rules.resamples)} resamples for intervals and tests",
    }
    return _facts(facts.items())


def hyperparameters(results: Results) -> str:
    """The settings of the trained systems."""
    trained = {item.run.system: item.run for item in results.stored if not item.run.members}
    trained = [run for run in trained.values() if not (run.untrained or run.base)]
    if not trained:
        return latex.statement("No system of this study is trained.")
    systems = results.study.systems
    settings = [{"Settings": systems[run.system].settings} | _settings(run) for run in trained]
    titles = dict.fromkeys(title for column in settings for title in column)
    columns = [Column("Setting"), *(Column(latex.narrow(run.label), layout="r") for run in trained)]
    return latex.tabular(columns, ([title, *(s.get(title) for s in settings)] for title in titles))


def _settings(run: Run) -> dict[str, Any]:
    model = run.model
    found = {"training_sentences": run.train_sentences or "all", **model.training.model_dump()}
    if model.approach == "generation":
        found |= {name: getattr(model, name) for name in _WRITING}
    found["quantisation"] = model.quantisation or "none"
    if run.held_out:
        found["types held out"] = ", ".join(run.held_out)
    if model.lora:
        found |= {f"LoRA {name}": value for name, value in model.lora.model_dump().items()}
    found |= {key: value for key, value in model.model_dump().items() if key.startswith("prediction_batch")}
    return {name[0].upper() + name[1:].replace("_", " "): value for name, value in found.items()}


def provenance(results: Results) -> str:
    """Hardware and software; where runs differ, every value with its systems."""
    facts: dict[str, dict[str, list[str]]] = {}
    for item in results.stored:
        machine, versions = item.manifest["machine"], item.manifest["versions"]
        threads, python = item.efficiency["threads"], item.manifest["python"]
        for title, value in {**machine, "threads": threads, "python": python, **versions}.items():
            systems = facts.setdefault(title, {}).setdefault(str(value).partition("+")[0], [])
            systems += [item.run.label] if item.run.label not in systems else []
    return _facts(
        (title, "; ".join(v if len(values) == 1 else f"{v} ({', '.join(s)})" for v, s in values.items()))
        for title, values in facts.items()
    )


def runs(results: Results) -> str:
    """The runs, each with what identifies it and what it lost by cutting."""
    titles = ("System", "Seed", "Fingerprint", "Commit", "Finished", "Steps", "Lost by cutting")
    rows = []
    for item in results.stored:
        marks = (item.run.fingerprint[:12], item.manifest["commit"])
        codes = [Raw(rf"\texttt{{{escape(mark)}}}") for mark in marks]
        cut = item.efficiency["prediction_truncation"].items()
        lost = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in cut)
        day, steps = item.manifest["written"][:10], item.efficiency.get("steps")
        cells = [item.run.label, item.run.seed or None, *codes, day, steps, lost]
        rows.append({"corpus": item.run.dataset.label, "cells": cells})
    columns = [Column(title, 0 if title in ("Seed", "Steps") else None) for title in titles]
    return latex.tabular(columns, _blocks(pd.DataFrame(rows), lambda row: row["cells"]))


def prompts(results: Results) -> str:
    """The conversation that generative systems have, for each corpus."""
    texts = {}
    for run in (item.run for item in results.stored if item.run.model.approach == "generation"):
        shape = form(run.model, run.dataset)
        kinds = {name.lower(): kind for kind, name in run.dataset.types.items()}
        spans = (Span(*at, kinds[name]) for name, at in EXAMPLE_MENTIONS.items() if name in kinds)
        example = Sentence("", None, EXAMPLE, tuple(spans))
        title = f"{run.dataset.label}, {run.model.output_format}, wording {run.model.wording}"
        title += ", types renamed" * bool(run.model.type_names) + ", types defined" * run.model.definitions
        text = rf"\paragraph{{{escape(title)}}}" + "\n"
        parts = {"Instruction": shape.instruction(), "User": example.text, "Answer": shape.target(example)}
        for title, part in parts.items():
            # Verbatim knows no escape: nothing in it may look like its end.
            part = part.replace(r"\end{", r"\end {")
            text += f"\\noindent\\emph{{{title}}}\n\\begin{{prompt}}\n{part}\n\\end{{prompt}}\n"
        texts[title] = text
    return "\n".join(texts.values()) or "No system of this study is prompted.\n"


# ----------------------------------------------------------------------------- results
def scores(results: Results) -> str:
    """Strict scores with intervals."""
    columns = [Column("System"), Column("Runs", 0), Column("P", 1), Column("R", 1)]
    for over in ("Micro", "Macro"):
        columns += [Column(r"\Fone", 1, over=over), Column(r"95\,\% interval", over=over)]

    def row(values: dict) -> Sequence:
        cells = [values[name] for name in ("label", "seeds", "precision", "recall")]
        for metric in ("micro_f1", "macro_f1"):
            cells += [values[metric], latex.interval(values[f"{metric}_low"], values[f"{metric}_high"])]
        return cells

    return latex.tabular(columns, _blocks(results.summary, row))


def conventions(results: Results) -> str:
    """The same predictions under other schemes, and by the rules of others."""
    over = {
        "Mentions at their places": {
            "micro_f1": "strict",
            "exact_f1": "exact",
            "partial_f1": "partial",
            "type_f1": "type",
            "discarded_f1": "discarded",
        },
        "Mentions as strings": {
            "first_match_f1": "first match",
            "string_set_f1": "sets",
            "surfaces_f1": "corpus",
        },
    }
    columns = {"label": Column("System")}
    for group, titles in over.items():
        columns |= {name: Column(title, 1, over=group) for name, title in titles.items()}
    return latex.tabular(
        columns.values(), _blocks(results.summary, lambda row: [row[name] for name in columns])
    )


def ensembles(results: Results) -> str:
    """What dev taught each ensemble."""
    rows = []
    for item in (item for item in results.stored if item.run.members):
        taught = item.efficiency["ensemble"]
        members = zip(item.run.members, taught["weights"], strict=True)
        said = "; ".join(f"{member.label}, seed {member.seed}: {weight:.2f}" for member, weight in members)
        scores = (100 * taught["dev_f1"], 100 * item.metrics["micro"]["f1"])
        cells = [item.run.label, item.run.seed, said, taught["threshold"], *scores]
        rows.append({"corpus": item.run.dataset.label, "cells": cells})
    if not rows:
        return latex.statement("This study has no ensemble.")
    columns = [
        Column("Ensemble"),
        Column("Seed", 0),
        Column("Weights of the members", layout="p{5.6cm}"),
        Column("Threshold", 2),
    ]
    columns += [Column("dev, cross-fitted", 1, over=r"\Fone"), Column("test", 1, over=r"\Fone")]
    return latex.tabular(columns, _blocks(pd.DataFrame(rows), lambda values: values["cells"]))


def types(results: Results) -> str:
    """F1 by type, with the number of gold mentions in test."""
    systems = dict(zip(results.types["system"], results.types["label"], strict=True))
    f1 = results.types.set_index(["corpus", "type", "system"])["f1"].to_dict()
    columns = [Column("Type"), Column("Mentions", 0)]
    columns += [Column(head, 1) for head in latex.heads(list(systems.values()))]

    def row(values: dict) -> Sequence:
        found = [f1[values["corpus"], values["type"], system] for system in systems]
        return [values["type"], values["mentions"], *found]

    return latex.tabular(columns, _blocks(results.types.drop_duplicates(["corpus", "type"]), row))


def comparisons(results: Results) -> str:
    """The declared comparisons, tested."""
    if results.comparisons.empty:
        return latex.statement("This study declares no comparison.")
    columns = [Column(title, layout="p{3.2cm}") for title in ("System", "Against")]
    columns += [Column("Difference", 1), Column(r"95\,\% interval")]
    columns.append(Column(r"\shortstack[r]{Smallest\\to be found}", 1))
    columns += [Column("$p$", layout="r"), Column("$p$ (Holm)", layout="r")]

    def row(values: dict) -> Sequence:
        cells = [values[name] for name in ("label_a", "label_b", "difference")]
        tests = (latex.p_value(values[name]) for name in ("p", "p_holm"))
        return [*cells, latex.interval(values["low"], values["high"]), values["smallest"], *tests]

    return latex.tabular(columns, _blocks(results.comparisons, row))


def parse(results: Results) -> str:
    """How generated answers could be read, and what was dropped from them."""
    generative = results.summary[results.summary["approach"] == "generation"]
    if generative.empty:
        return latex.statement("No system of this study writes answers.")
    columns = {"label": Column("System", layout="p{3cm}"), "sentences": Column("Answers", 0)}
    columns |= {
        name: Column(latex.narrow(name.replace("_", " "), 11), 1, over=r"Answers (\%)")
        for name in (*STATUSES, "cut_off")
    }
    columns |= {"answered": Column("Items", 0)}
    for reason in DROPPED:
        title = latex.narrow(reason.replace("_", " "), 11)
        columns[f"dropped.{reason}"] = Column(title, 1, over=r"Items dropped (\%)")
    return latex.tabular(columns.values(), _blocks(generative, lambda row: [row[name] for name in columns]))


def efficiency(results: Results) -> str:
    """Cost: parameters, training, latency, throughput, memory."""
    columns = {
        "label": Column("System", layout="p{3cm}"),
        "parameters_millions": Column("all", 1, over="Parameters (M)"),
        "trainable_millions": Column("trained", 1, over="Parameters (M)"),
        "train_sentences": Column("sentences", 0, over="Training"),
        "training_seconds": Column("seconds", 0, over="Training"),
        "latency_mean_ms": Column("mean", 0, over="Latency (ms)"),
        "latency_p50_ms": Column("median", 0, over="Latency (ms)"),
        "latency_p95_ms": Column("95th", 0, over="Latency (ms)"),
        "sentences_per_second": Column("sent./s", 1, over="Throughput"),
        "batch_size": Column("batch", 0, over="Throughput"),
        "training_memory_mib": Column("training", 0, over="Memory (MiB)"),
        "memory_mib": Column("prediction", 0, over="Memory (MiB)"),
    }
    return latex.tabular(
        columns.values(), _blocks(results.summary, lambda row: [row[name] for name in columns])
    )
