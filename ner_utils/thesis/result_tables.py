"""A study's results in tables of the thesis, and a checklist for its reviewers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ner_utils.config.run import Run
from ner_utils.experiments.ensemble import Voter
from ner_utils.forms.base import DROPPED
from ner_utils.rendering import latex
from ner_utils.rendering.latex import Column
from ner_utils.results.evaluation import Stored
from ner_utils.results.measures import STATUSES
from ner_utils.results.study import Results
from ner_utils.thesis import setup_tables

Columns = dict[str | tuple[str, str], Column]  # by key of a frame's column


def all_tables(results: Results) -> dict[str, str]:
    """The tables of this file and of `setup_tables`, by file names without suffix."""
    whole = (setup_tables.protocol, setup_tables.provenance, setup_tables.runs)
    whole += (checklist, comparisons, companions)
    undisturbed = (setup_tables.corpus, setup_tables.audit, setup_tables.hyperparameters)
    undisturbed += (setup_tables.own_settings, setup_tables.prompts)
    undisturbed += (scores, conventions, ensembles, types, parse, efficiency)
    tables = {f"tab_{make.__name__}": make(results) for make in whole}
    tables |= {f"tab_{make.__name__}": make(results.undisturbed) for make in undisturbed}
    return tables | {"tab_results": tables.pop("tab_scores")}


def scores(results: Results) -> str:
    """Strict scores with intervals."""
    columns: Columns = {"label": Column("System"), "seeds": Column("Runs", 0)}
    columns |= {"precision": Column("P", 1), "recall": Column("R", 1)}
    for metric, over in (("micro_f1", "Micro"), ("macro_f1", "Macro")):
        columns[metric] = Column(r"\Fone", 1, over=over)
        columns[f"{metric}_low", f"{metric}_high"] = Column(r"95\,\% interval", over=over)
    return _of_keys(columns, results.summary)


def companions(results: Results) -> str:
    """Scores of the main systems of the companion studies."""
    columns = [Column("System"), Column("Training sentences", 0), Column("Test sentences", 0)]
    columns += [Column(r"\Fone", 1, over="Micro"), Column(r"95\,\% interval", over="Micro")]
    columns += [Column(r"Macro \Fone", 1), Column("Sentences/s", 1)]
    rows: list[Sequence | str] = []
    for other in results.companions:
        for corpus, block in other.main.summary.groupby("corpus", sort=False):
            rows.append(f"{other.study.title} ({corpus})")
            for row in block.to_dict("records"):
                spread = latex.interval(row["micro_f1_low"], row["micro_f1_high"])
                cells = [row["label"], row["train_sentences"], row["sentences"], row["micro_f1"], spread]
                rows.append([*cells, row["macro_f1"], row["sentences_per_second"]])
    return latex.tabular(columns, rows) if rows else latex.statement("This study has no companion study.")


def conventions(results: Results) -> str:
    """F1 of the same predictions by different matching schemes, and by the scoring rules of other papers."""
    over = {
        "Mentions by position": {
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
    return _of_keys(columns, results.summary)


def ensembles(results: Results) -> str:
    """The weights that each ensemble learnt on dev, the votes that suffice, and its scores."""
    rows: dict[str, list[Sequence]] = {}
    for item in (item for item in results.stored if item.run.members):
        learnt, members = item.efficiency["ensemble"], item.run.members
        names = [f"{member.label}, seed {member.seed}" for member in members]
        pairs = zip(names, learnt["weights"], strict=True)
        weights = "; ".join(f"{name}: {weight:.2f}" for name, weight in pairs)
        voter = Voter(np.array(learnt["weights"]), learnt["bias"], learnt["threshold"])
        scores = (100 * learnt["dev_f1"], 100 * item.metrics["micro"]["f1"])
        cells = [item.run.label, item.run.seed, weights, _votes(voter.sufficient(), names), *scores]
        rows.setdefault(item.run.dataset.label, []).append(cells)
    if not rows:
        return latex.statement("This study has no ensemble.")
    columns = [
        Column("Ensemble"),
        Column("Seed", 0),
        Column("Weights of the members", layout="p{4.6cm}"),
        Column("Votes that suffice", layout="p{2.6cm}"),
    ]
    columns += [Column("dev, cross-fitted", 1, over=r"\Fone"), Column("test", 1, over=r"\Fone")]
    return latex.tabular(columns, latex.by_corpus(rows))


def _votes(sufficient: Sequence[tuple[int, ...]], members: Sequence[str]) -> str:
    """In words, which members have to predict a span."""
    if sufficient == [(at,) for at in range(len(members))]:
        return "of any member"
    if [len(chosen) for chosen in sufficient] == [len(members)]:
        return "of all members"
    return " or ".join(" and ".join(members[at] for at in chosen) for chosen in sufficient)


def types(results: Results) -> str:
    """F1 by type, with the number of gold mentions in test."""
    systems = dict(zip(results.types["system"], results.types["label"], strict=True))
    f1 = results.types.set_index(["corpus", "type", "system"])["f1"].to_dict()
    columns = [Column("Type"), Column("Mentions", 0), *latex.of_systems(systems.values(), 1)]

    def row(values: dict) -> Sequence:
        scores = [f1[values["corpus"], values["type"], system] for system in systems]
        return [values["type"], values["mentions"], *scores]

    return latex.tabular(columns, latex.blocks(results.types.drop_duplicates(["corpus", "type"]), row))


def comparisons(results: Results) -> str:
    """The declared comparisons with their tests."""
    if results.comparisons.empty:
        return latex.statement("This study declares no comparison.")
    columns: Columns = {
        "label_a": Column("System", layout="p{3.2cm}"),
        "label_b": Column("Compared with", layout="p{3.2cm}"),
        "difference": Column("Difference", 1),
        ("low", "high"): Column(r"95\,\% interval"),
        "smallest": Column(r"\shortstack[r]{Smallest\\detectable}", 1),
        "p": Column("$p$", layout="r"),
        "p_holm": Column("$p$ (Holm)", layout="r"),
    }
    return _of_keys(columns, results.comparisons)


def parse(results: Results) -> str:
    """How generated answers could be read, and the share of items that were dropped."""
    generative = results.summary[results.summary["kind"] == "generator"]
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
    return _of_keys(columns, generative)


def efficiency(results: Results) -> str:
    """Parameters, training, latency, throughput, memory."""
    columns = {
        "label": Column("System", layout="p{3cm}"),
        "parameters_millions": Column("all", 1, over="Parameters (M)"),
        "trainable_millions": Column("trained", 1, over="Parameters (M)"),
        "train_sentences": Column("sentences", 0, over="Training"),
        "training_seconds": Column("seconds", 0, over="Training"),
        "latency_mean_ms": Column("mean", 0, over="Latency (ms)"),
        "latency_p50_ms": Column("median", 0, over="Latency (ms)"),
        "latency_p95_ms": Column("95th", 0, over="Latency (ms)"),
        "differing": Column("differ", 1, over="Latency (ms)"),
        "sentences_per_second": Column("sent./s", 1, over="Throughput"),
        "batch_size": Column("batch", 0, over="Throughput"),
        "training_memory_mib": Column("training", 0, over="Memory (MiB)"),
        "memory_mib": Column("prediction", 0, over="Memory (MiB)"),
    }
    return _of_keys(columns, results.summary)


def checklist(results: Results) -> str:
    """What reviewers ask, answered from the study: search, seeds, data, models, compute, statistics, code."""
    study, rules = results.study, results.study.protocol
    corpora = {run.dataset.label: run.dataset for run in results.systems}
    models = {run.model.label: _source(run) for run in results.systems if not run.members}
    spaces = []
    for run, _ in results.tuning:
        space = study.systems[run.system].space.items()
        values = (f"{key.rpartition('.')[2]} {_choices(choice)}" for key, choice in space)
        spaces.append(f"{run.label}: {', '.join(values)}")
    searched = sum(search["seconds"] for _, search in results.tuning)
    seconds = searched + sum(map(_seconds, results.stored))
    money = ", ".join(f"{price * seconds / 3600:.2f}" for price in rules.dollars_per_hour or ())
    compared = max(1, len(rules.comparisons) * len(corpora))
    facts = {
        "Search space": "; ".join(spaces) or "no search in this study: values are declared",
        "Budget of the search": f"{rules.tuning.trials} trials a system, on dev" if spaces else "none",
        "Seeds": f"{', '.join(map(str, study.seeds))}; {len(results.stored)} runs, all of them reported",
        "Data": "; ".join(
            f"{name} ({each.language}; licence: {each.licence}; {'private' if each.private else 'public'}; "
            f"splits {'drawn by seed' if each.drawn else 'of the publisher'})"
            for name, each in corpora.items()
        ),
        "Models": "; ".join(f"{label} ({source})" for label, source in models.items()),
        "Compute": f"{seconds / 3600:.1f} hours of searches, training, evaluation and prediction, on "
        + ", ".join(sorted({item.manifest["machine"]["processor"] for item in results.stored})),
        "Cost": f"{money} dollars, at the lower and the higher price" if money else "no price declared",
        "Statistics": f"bootstrap intervals of {latex.number(rules.resamples)} resamples, paired tests; "
        f"Holm's correction over {compared} declared comparisons",
        "Code": f"commits {', '.join(sorted({item.manifest['commit'] for item in results.stored}))}; the "
        "versions of all packages are pinned",
        "Predictions": "stored as spans with every run, sealed by SHA-256, so that scores can be recomputed",
    }
    return setup_tables.fact_table(facts.items())


def _seconds(item: Stored) -> float:
    """Seconds of a run; those of a training that it shares are the other run's."""
    cost = item.efficiency
    seconds = item.metrics["sentences"] / cost["sentences_per_second"]
    parts = ("training_seconds", "looks_seconds", "labelling_seconds")
    return seconds if item.run.base else seconds + sum(cost.get(part, 0.0) for part in parts)


def _choices(choice: Any) -> str:
    return f"{choice.low:g} to {choice.high:g}" if hasattr(choice, "low") else " or ".join(map(str, choice))


def _source(run: Run) -> str:
    """Where a model's weights are from."""
    if not run.has_weights:
        server = run.model.server
        return f"served at {server.url or 'this machine'} as {server.model or server.serves}"
    words, digest = run.model.weights.source
    return f"{words} {digest[:12]}".strip()


def _of_keys(columns: Columns, frame: pd.DataFrame) -> str:
    """A table of a frame's columns but for empty ones; a pair of keys is an interval."""
    columns = {key: columns[key] for key in columns if isinstance(key, tuple) or frame[key].notna().any()}

    def cell(values: dict, key: str | tuple[str, str]) -> object:
        if isinstance(key, tuple):
            return latex.interval(*map(values.get, key))
        return latex.p_value(values[key]) if key in ("p", "p_holm") else values[key]

    rows = latex.blocks(frame, lambda values: [cell(values, key) for key in columns])
    return latex.tabular(columns.values(), rows)
