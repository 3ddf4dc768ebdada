"""How a study was set up, in tables of the thesis: corpora, protocol, settings, provenance; its prompts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from ner_utils.config.run import Run
from ner_utils.data.corpus import Sentence
from ner_utils.data.spans import Span
from ner_utils.forms.registry import form
from ner_utils.rendering import latex
from ner_utils.rendering.latex import Column, Raw, escape
from ner_utils.results.study import TESTED, Results

Row = Sequence | str  # cells, or a heading
# Keys of a generative model that the table of hyperparameters shows.
_WRITING = ("output_format", "type_order", "loss", "dev_draw", "constrained", "max_new_tokens")
OWN = "own"  # for a setting in which systems of one model differ
# A made-up example, because the licence of a corpus may not allow printing its sentences. It has a mention of
# each of these types that the corpus has.
EXAMPLE = ("Marta", "Kowal", "from", "Kraków", "takes", "aspirin", "against", "malaria", ".")
EXAMPLE_MENTIONS = {"person": (0, 2), "location": (3, 4), "chemical": (5, 6), "disease": (7, 8)}


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


# Findings of an audit: the key of the count, and of the total of which it is a share.
FINDINGS = {
    "Sentences that repeat an earlier one of the split": ("duplicates", "sentences"),
    Raw(r"\quad with other labels than the first copy"): ("conflicting_duplicates", None),
    "Sentences that also occur in train": ("in_train", "sentences"),
    "Mentions unseen in train, ignoring case": ("unseen_mentions", "mentions"),
    Raw(r"\quad with case"): ("unseen_mentions_cased", "mentions"),
    "Mentions whose surface form occurs again in the sentence": ("repeated_mentions", "mentions"),
    "Malformed tags, repaired": ("repaired_tags", None),
    # These are counted in corpora with offsets.
    "Mentions that overlap a longer one, dropped": ("overlapping_mentions", None),
    "Discontinuous mentions, joined into one span": ("discontinuous_mentions", None),
    "Mentions across the end of a sentence, joined": ("split_mentions", None),
    "Mentions with a boundary inside a token, widened": ("widened_mentions", None),
    "Mentions and lines that contradict themselves, dropped": ("dropped_flaws", None),
    "Mentions of other levels of annotation, not read": ("other_level_mentions", None),
}


def audit(results: Results) -> str:
    """Properties of a corpus that its scores depend on."""
    rows: list[Row] = []
    for label, report in results.corpora.items():
        surfaces, ambiguous = (latex.number(report[key]) for key in ("surfaces", "ambiguous_surfaces"))
        rows.append(f"{label}: {surfaces} distinct surface forms, {ambiguous} of them with two or more types")
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
def fact_table(facts: Iterable[tuple[str, str]]) -> str:
    return latex.tabular([Column(""), Column("", layout="p{10.5cm}")], facts)


def protocol(results: Results) -> str:
    """The study's protocol, which was declared before the first run."""
    rules, labels = results.study.protocol, {run.system: run.label for run in results.systems}
    corpora = {run.dataset.label: run.dataset for run in results.systems}
    kinds = {run.label: run.model.kind for run in results.systems}
    sample = f"a sample of {rules.dev_sample} dev sentences" if rules.dev_sample else "all of dev"
    voting = any(run.members for run in results.systems)
    test = f"a sample of {rules.test_sentences} sentences" if rules.test_sentences else "all sentences"
    long = "cut off at the model's limit"
    if window := rules.window:
        long = f"over {window.words} words, in windows of so many that overlap by {window.overlap}"
    facts = {
        "Question": results.study.question,
        "Corpora": "; ".join(
            f"{name} ({each.description}; licence: {each.licence})" for name, each in corpora.items()
        ),
        "Systems": "; ".join(f"{label} ({kinds[label]})" for label in labels.values()),
        "Seeds": ", ".join(map(str, results.study.seeds)),
        "Primary score": Raw(rf"strict {rules.primary_metric.removesuffix('_f1')} \Fone"),
        "Comparisons": "; ".join(f"{labels[a]} against {labels[b]}" for a, b in rules.comparisons) or "none",
        "Margin": f"{rules.margin:g} points" if rules.margin else "none declared",
        "Evaluations on dev": f"{rules.dev_evaluations} a run; tagging on all of dev, generation on {sample}",
        "Test": test,
        "Long sentences": long,
        "Ensembles": f"weights learnt on {rules.dev_predictions} dev sentences" if voting else "none",
        "Latency": f"{rules.latency_sentences} sentences, one at a time",
        "Prices": " and ".join(f"{price:.2f} dollars" for price in rules.dollars_per_hour or ()) or "none",
        "Resampling": f"{latex.number(rules.resamples)} times for intervals, {TESTED} times that for tests",
    }
    return fact_table(facts.items())


def hyperparameters(results: Results) -> str:
    """The settings of the trained systems; of many systems, the settings that those of one model share."""
    frame = _settings(results)
    if frame.empty:
        return latex.statement("No system of this study is trained.")
    if many_trained(results):
        blocks = frame.groupby(level="model", sort=False)
        frame = blocks.agg(lambda values: OWN if values.nunique(dropna=False) > 1 else values.iloc[0])
    else:
        frame = frame.droplevel("model")
    columns = [Column("Setting"), *(Column(latex.narrow(label), layout="r") for label in frame.index)]
    values = frame.astype(object).where(frame.notna(), None).items()
    return latex.tabular(columns, ([title, *column] for title, column in values))


def own_settings(results: Results) -> str:
    """If there are many trained systems: the settings in which those of one model differ."""
    rows = []
    for _, block in _settings(results).groupby(level="model", sort=False) if many_trained(results) else ():
        differing = block.loc[:, block.nunique(dropna=False) > 1].droplevel("model")
        for label, row in differing.iterrows():
            rows.append([label, "; ".join(f"{title}: {value}" for title, value in row.dropna().items())])
    if not rows:
        return latex.statement("Every trained system has a column.")
    return latex.tabular([Column("System"), Column("Own settings", layout="p{9cm}")], rows)


def many_trained(results: Results) -> int:
    """The number of trained systems if they are too many for a column each, else 0."""
    return number if (number := len(_settings(results))) > latex.MANY else 0


def _settings(results: Results) -> pd.DataFrame:
    """The settings of each trained system as text, by the labels of its model and its own; None where it has
    none. A model has the label of its first system, since others may override it."""
    rows, models = {}, {}
    for run in results.systems:
        if not (run.members or run.untrained or run.base):
            system = results.study.systems[run.system]
            model = models.setdefault(system.model, run.model.label)
            rows[model, run.label] = _settings_of(run, system.settings)
    index = pd.MultiIndex.from_tuples(rows, names=["model", "label"])
    frame = pd.DataFrame(rows.values(), index, dtype=object).dropna(axis=1, how="all")
    return frame.where(frame.notna(), None)


def _settings_of(run: Run, source: str) -> dict[str, str | None]:
    model = run.model
    settings = {"settings": source, "kind": model.kind, "training_sentences": run.train_sentences or "all"}
    if run.labels:
        more = run.labelled_sentences or "all other"
        settings["labelled_sentences"] = f"{more}, by {run.labels.label}"
    settings |= model.training.model_dump()
    if model.approach == "generation":
        settings |= {name: getattr(model, name) for name in _WRITING}
    settings |= {name: getattr(model, name, None) for name in ("head_learning_rate", "threshold")}
    if model.kind == "LLM tagger":
        settings |= {"attention": model.attention, "labelled_sub-token": model.labelled}
    settings["quantisation"] = model.quantisation or "none"
    if run.held_out:
        settings["types held out"] = ", ".join(run.held_out)
    if model.lora:
        settings |= {f"LoRA {name}": value for name, value in model.lora.model_dump().items()}
    batches = {key: value for key, value in model.model_dump().items() if key.startswith("prediction_batch")}
    return {
        name[0].upper() + name[1:].replace("_", " "): None if value is None else str(value)
        for name, value in (settings | batches).items()
    }


def provenance(results: Results) -> str:
    """Hardware and software; if runs differ, every value with its systems."""
    facts: dict[str, dict[str, list[str]]] = {}
    for item in results.stored:
        machine, versions = item.manifest["machine"], item.manifest["versions"]
        measured = {key: item.efficiency[key] for key in ("threads", "server") if key in item.efficiency}
        if server := measured.get("server"):
            measured["server"] = f"{', '.join(server['models'])} at {server['url']}"
        facts_of = {**machine, **measured, "python": item.manifest["python"], **versions}
        for title, value in facts_of.items():
            systems = facts.setdefault(title, {}).setdefault(str(value).partition("+")[0], [])
            systems += [item.run.label] if item.run.label not in systems else []
    return fact_table(
        (title, "; ".join(v if len(values) == 1 else f"{v} ({', '.join(s)})" for v, s in values.items()))
        for title, values in facts.items()
    )


def runs(results: Results) -> str:
    """The runs, each with its fingerprint and commit, and what was lost because inputs were truncated."""
    titles = ("System", "Seed", "Fingerprint", "Commit", "Finished", "Steps", "Lost by truncation")
    rows: dict[str, list[Sequence]] = {}
    for item in results.stored:
        marks = (item.run.fingerprint[:12], item.manifest["commit"])
        codes = [Raw(rf"\texttt{{{escape(mark)}}}") for mark in marks]
        cut = item.efficiency["prediction_truncation"].items()
        lost = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in cut)
        day, steps = item.manifest["written"][:10], item.efficiency.get("steps")
        cells = [item.run.label, item.run.seed or None, *codes, day, steps, lost]
        rows.setdefault(item.run.dataset.label, []).append(cells)
    columns = [Column(title, 0 if title in ("Seed", "Steps") else None) for title in titles]
    return latex.tabular(columns, latex.by_corpus(rows))


def prompts(results: Results) -> str:
    """The prompts and answers of generative systems, for each corpus, on an example."""
    texts: dict[str, None] = {}
    for run in (item.run for item in results.stored if item.run.writes):
        shape = form(run.model, run.dataset)
        kinds = {name.lower(): kind for kind, name in run.dataset.types.items()}
        spans = (Span(*at, kinds[name]) for name, at in EXAMPLE_MENTIONS.items() if name in kinds)
        example = Sentence("", None, EXAMPLE, tuple(spans))
        title = f"{run.dataset.label}, {run.model.output_format}, wording {run.model.wording}"
        title += ", types renamed" * bool(run.model.type_names) + ", types defined" * run.model.definitions
        text = rf"\paragraph{{{escape(title)}}}" + "\n"
        parts = {"Instruction": shape.instruction(), "User": example.text, "Answer": shape.target(example)}
        for name, part in parts.items():
            # Verbatim text has no escapes, so that nothing in it may look like its end.
            part = part.replace(r"\end{", r"\end {")
            text += f"\\noindent\\emph{{{name}}}\n\\begin{{prompt}}\n{part}\n\\end{{prompt}}\n"
        texts[text] = None  # systems that are prompted alike share one
    return "\n".join(texts) or "No system of this study is prompted.\n"
