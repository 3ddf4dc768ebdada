"""The tables of what was done, as LaTeX: protocol, settings, hardware, runs, prompts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ner_utils import latex
from ner_utils.config import Run
from ner_utils.data import Sentence
from ner_utils.latex import Column, Raw
from ner_utils.prompts import FORMATS
from ner_utils.spans import Span
from ner_utils.study import Results, Stored

# An example of our own, since a corpus' sentences may not be ours to print. What a corpus calls by
# one of these names is annotated, the rest is not.
EXAMPLE = ("Marta", "Kowal", "from", "Kraków", "takes", "aspirin", "against", "malaria", ".")
EXAMPLE_MENTIONS = {"person": (0, 2), "location": (3, 4), "chemical": (5, 6), "disease": (7, 8)}


def all_tables(results: Results) -> dict[str, str]:
    """File names without suffix, and what belongs into them."""
    return {
        "tab_protocol": protocol(results),
        "tab_hyperparameters": hyperparameters(results),
        "tab_configuration": configuration(results),
        "tab_provenance": provenance(results),
        "tab_runs": runs(results),
        "tab_prompts": prompts(results),
    }


def _facts(facts: Iterable[tuple[str, str]], width: str = "10.5cm") -> str:
    return latex.tabular([Column(""), Column("", layout=f"p{{{width}}}")], facts)


def protocol(results: Results) -> str:
    """What was declared before the first run."""
    study, rules = results.study, results.study.protocol
    labels = {item.run.system: item.run.label for item in results.stored}
    pairs = [f"{labels[a]} against {labels[b]}" for a, b in rules.comparisons]
    metric = {"micro_f1": r"strict micro \Fone", "macro_f1": r"strict macro \Fone"}[rules.primary_metric]
    sample = f"a sample of {rules.dev_sample} dev sentences" if rules.dev_sample else "all of dev"
    facts = [
        ("Question", study.question),
        ("Corpora", "; ".join(results.corpora)),
        ("Systems", "; ".join(labels.values())),
        ("Seeds", ", ".join(map(str, study.seeds))),
        ("Primary score", Raw(metric)),
        ("Comparisons", "; ".join(pairs) or "none"),
        ("Looks at dev", f"{rules.looks} a run; tagging on all of dev, generation on {sample}"),
        ("Latency", f"{rules.latency_sentences} sentences, one at a time"),
        ("Resampling", Raw(f"{latex.number(rules.resamples)} resamples for intervals and tests")),
    ]
    if rules.test_sentences:
        facts.append(("Test", f"a sample of {rules.test_sentences} sentences"))
    return _facts(facts)


def _systems(results: Results) -> list[Run]:
    """One run of each system."""
    return list({item.run.system: item.run for item in results.stored}.values())


def hyperparameters(results: Results) -> str:
    """The settings that a reader asks for; `configuration` holds them all."""
    trained = [run for run in _systems(results) if not run.zero_shot]
    if not trained:
        return latex.statement("No system of this study is trained.")
    columns = [_settings(run) for run in trained]
    titles = list(dict.fromkeys(title for column in columns for title in column))
    rows = [[title, *(column.get(title) for column in columns)] for title in titles]
    heads = [Column("Setting"), *(Column(latex.escape(run.label), layout="r") for run in trained)]
    return latex.tabular(heads, rows)


def _settings(run: Run) -> dict[str, Any]:
    model, training = run.model, run.model.training
    found = {
        "Approach": model.approach,
        "Training sentences": latex.number(run.train_sentences) if run.train_sentences else "all",
        "Learning rate": _power(training.learning_rate),
        Raw(r"Batch size $\times$ accumulation"): Raw(
            rf"{training.batch_size}\,$\times$\,{training.accumulation_steps}"
        ),
        "Epochs at most": training.epochs,
        "Weight decay": training.weight_decay,
        "Warm-up (share of steps)": training.warmup_fraction,
        "Schedule": training.schedule,
        "Patience (looks)": training.patience,
        "Length at most (sub-tokens)": training.max_length,
    }
    if model.approach == "generation":
        lora = model.lora
        targets = lora.target_modules
        found |= {
            Raw(r"LoRA rank, $\alpha$"): Raw(rf"{lora.r}, {lora.alpha}"),
            "LoRA dropout": lora.dropout,
            "LoRA targets": targets if isinstance(targets, str) else ", ".join(targets),
            "Weights in training": (model.quantisation or "not quantised").upper(),
            "Adapter in prediction": "merged" if model.merge_adapter else "not merged",
            "New sub-tokens at most": model.max_new_tokens,
        }
    return found | {"Batch size in prediction": model.prediction_batch_size}


def _power(value: float) -> Raw:
    digits, _, exponent = f"{value:.6e}".partition("e")
    return Raw(rf"${float(digits):g}\cdot10^{{{int(exponent)}}}$")


def configuration(results: Results) -> str:
    """Every setting that decides what a system predicts."""
    systems = _systems(results)
    columns = [dict(_flat({"zero_shot": run.zero_shot, **run.identity["model"]})) for run in systems]
    keys = list(dict.fromkeys(key for column in columns for key in column))
    rows = [
        [Raw(rf"\texttt{{{latex.escape(key)}}}"), *(column.get(key) for column in columns)] for key in keys
    ]
    return latex.tabular([Column("Key"), *(Column(latex.escape(run.label)) for run in systems)], rows)


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        elif key in ("sha256", "revision"):
            yield f"{prefix}{key}", f"{value[:12]}…"
        elif value is not None:
            yield f"{prefix}{key}", value


def provenance(results: Results) -> str:
    """Hardware and software; where runs differ, every value with its systems."""
    facts: dict[str, dict[str, list[str]]] = {}
    for item in results.stored:
        for title, value in _environment(item).items():
            systems = facts.setdefault(title, {}).setdefault(str(value), [])
            if item.run.label not in systems:
                systems.append(item.run.label)
    return _facts(
        (title, "; ".join(v if len(values) == 1 else f"{v} ({', '.join(s)})" for v, s in values.items()))
        for title, values in facts.items()
    )


def _environment(item: Stored) -> dict[str, Any]:
    machine = item.manifest["machine"]
    return {
        "Processor": machine["processor"],
        "Graphics card": machine.get("gpu", "none"),
        "System": machine["system"],
        "Threads": item.efficiency["threads"],
        "Python": item.manifest["python"],
        **{package: version.split("+")[0] for package, version in item.manifest["versions"].items()},
    }


def runs(results: Results) -> str:
    """The runs, each with what identifies it and what it lost by cutting."""
    columns = [
        Column("System"),
        Column("Seed", 0),
        Column("Fingerprint"),
        Column("Commit"),
        Column("Finished"),
    ]
    columns += [Column("Steps", layout="r"), Column("Lost by cutting")]

    def row(item: Stored) -> Sequence:
        seed, fingerprint = item.run.seed or None, Raw(rf"\texttt{{{item.run.fingerprint[:12]}}}")
        steps, declared = item.efficiency.get("steps"), item.efficiency.get("steps_declared")
        lost = item.efficiency["prediction_truncation"]
        return [
            item.run.label,
            seed,
            fingerprint,
            Raw(rf"\texttt{{{latex.escape(item.manifest['commit'])}}}"),
            item.manifest["written"][:10],
            f"{steps} of {declared}" if steps else None,
            ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in lost.items()),
        ]

    rows: list[Sequence | str] = []
    for label in results.corpora:
        rows += [label] if len(results.corpora) > 1 else []
        rows += [row(item) for item in results.stored if item.run.dataset.label == label]
    return latex.tabular(columns, rows)


def prompts(results: Results) -> str:
    """The conversation that generative systems have, for each corpus."""
    blocks = {}
    for run in (item.run for item in results.stored if item.run.model.approach == "generation"):
        form = FORMATS[run.model.output_format](run.dataset.types)
        blocks[run.dataset.label, run.model.output_format] = _prompt(run, form)
    return "\n".join(blocks.values()) or "No system of this study is prompted.\n"


def _prompt(run: Run, form) -> str:
    kinds = {name.lower(): kind for kind, name in run.dataset.types.items()}
    spans = [Span(*at, kinds[name]) for name, at in EXAMPLE_MENTIONS.items() if name in kinds]
    sentence = Sentence("", None, EXAMPLE, tuple(spans))
    parts = {"Instruction": form.instruction, "User": sentence.text, "Answer": form.target(sentence)}
    lines = [rf"\paragraph{{{latex.escape(run.dataset.label)}}}", ""]
    for title, text in parts.items():
        # Verbatim knows no escape: nothing in it may look like its end.
        body = text.replace(r"\end{prompt}", r"\end {prompt}")
        lines += [rf"\noindent\emph{{{title}}}", r"\begin{prompt}", body, r"\end{prompt}"]
    return "\n".join(lines) + "\n"
