"""A study's results, read back: refused where they do not fit, then tabulated and compared.

Needs no corpus and no model. Scores, shares and differences are in percent here and above.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ner_utils import config, efficiency, paths, scoring
from ner_utils.config import tuned
from ner_utils.config.protocol import Study
from ner_utils.config.run import Run
from ner_utils.data import audit
from ner_utils.forms.base import DROPPED
from ner_utils.results import evaluation, provenance
from ner_utils.scoring import resampling, significance
from ner_utils.sealed import ResultError

ALPHA = 0.05
SEED = 0  # of resampling: the same documents are drawn for every system
STATUSES = ("ok", "recovered", "failed")
SHARES = (*STATUSES, "cut_off", "ungrounded_rate", *(f"dropped.{reason}" for reason in DROPPED))
SHARES += ("loss_agrees", "last_look_best", "empty_share", "unseen_share")


@dataclass(frozen=True)
class Stored:
    """One run's result, verified."""

    run: Run
    manifest: dict[str, Any]
    metrics: dict[str, Any]
    efficiency: dict[str, Any]
    counts: list[dict[str, Any]]


# --------------------------------------------------------------------------- loading
def load_results(study: str, overrides: str = "") -> Results:
    """All runs of a study. Raises `ResultError` where one is missing, was made with another
    configuration or scorer, or was changed since."""
    settings = config.load_study(study, config.split_overrides(overrides))
    stored = [_load(run) for run in config.runs_of(study, overrides)]
    if len({item.run.label for item in stored}) < len(settings.systems):
        raise ResultError(f"params/studies/{study}.yaml: two systems have one label, give each its own")
    audits = {dataset: audit.load(study, dataset) for dataset in settings.datasets}
    _check_same_corpus(study, stored, audits)
    warnings = [line for item in stored for line in provenance.warnings(item.run, item.manifest)]
    machines = {json.dumps(item.manifest["machine"]): item for item in stored}
    if len(machines) > 1:
        made = "; ".join(
            f"{item.run.system} on {', '.join(item.manifest['machine'].values())}"
            for item in machines.values()
        )
        warnings.append(f"times and memory were taken on different machines: {made}")
    warnings += [*few_documents(stored), *doubts(stored), *older_reading(stored)]
    return Results(study, settings, stored, audits, list(dict.fromkeys(warnings)))


def few_documents(stored: Sequence[Stored]) -> list[str]:
    """A sentence on each corpus whose test documents are too few to be resampled."""
    said = {}
    for item in stored:
        documents = [row["document"] for row in item.counts]
        if any(documents) and resampling.grouping(documents).kind == "sentences":
            said[item.run.dataset_name] = (
                f"{item.run.dataset.label}: the test sentences come from fewer than {resampling.LEAST} "
                "documents, so that intervals and tests resample sentences and may be too narrow"
            )
    return list(said.values())


NAMED = 12  # systems that a warning names; the others are counted


def doubts(stored: Iterable[Stored]) -> list[str]:
    """What a reader must know about the runs: whose times are not to be trusted, which predict nothing, fail
    on sentences, or diverged in training. A line each, with the systems' ids; none where all is well."""
    times, nothing, failed, diverged = {}, {}, {}, {}
    for item in stored:
        name = f"{item.run.system} on {item.run.dataset_name}"
        for doubt in efficiency.doubts(item.efficiency):
            times.setdefault(name, {})[doubt.partition(" (")[0]] = None
        if not item.metrics["predicted"]:
            nothing.setdefault(name, {})[f"seed {item.run.seed}"] = None
        if failures := item.efficiency.get("failed_sentences"):
            failed.setdefault(name, {})[f"{failures} with seed {item.run.seed}"] = None
        if not all(math.isfinite(look["dev_loss"]) for look in item.efficiency.get("looks", ())):
            diverged.setdefault(name, {})[f"seed {item.run.seed}"] = None
    lines = {
        "times are not to be trusted, because the machine was busy while they were taken": times,
        "no mention is predicted in any sentence": nothing,
        "sentences could not be predicted, and count as empty": failed,
        "the loss on dev is not a number, so the training diverged": diverged,
    }
    return [f"{line}: {_listed(systems)}" for line, systems in lines.items() if systems]


def older_reading(stored: Iterable[Stored]) -> list[str]:
    """A line on the systems whose answers were read by rules that have changed since; raw answers are not
    stored, so that nothing can read them again."""
    systems = {}
    for item in stored:
        if share := provenance.read_otherwise(item.run, item.manifest):
            name = f"{item.run.system} on {item.run.dataset_name}"
            systems.setdefault(name, {})[f"seed {item.run.seed}: {share}"] = None
    line = "answers were read by older rules; today's could read otherwise, at most, these numbers of them"
    return [f"{line}: {_listed(systems)}"] if systems else []


def _listed(systems: dict[str, dict[str, None]]) -> str:
    named = [f"{name} ({', '.join(parts)})" for name, parts in list(systems.items())[:NAMED]]
    return "; ".join(named) + (f"; and {len(systems) - NAMED} more" if len(systems) > NAMED else "")


def _load(run: Run) -> Stored:
    manifest = provenance.read_manifest(run)
    metrics, cost = evaluation.load_metrics(run), evaluation.load_cost(run)
    rows = (run.results / "counts.jsonl").read_text(encoding="utf-8").splitlines()
    return Stored(run, manifest, metrics, cost, [json.loads(row) for row in rows])


def _check_same_corpus(study: str, stored: list[Stored], audits: dict[str, dict[str, Any]]) -> None:
    """All runs of a study on a corpus, their scores and its audit must have read the same files."""
    for item in stored:
        read = {"the run": item.manifest["inputs"]["data"], "its scores": item.metrics["inputs"]["data"]}
        for what, files in read.items():
            for name, digest in audits[item.run.dataset_name]["inputs"].items():
                if files.get(name) != digest:
                    raise ResultError(
                        f"{paths.relative(item.run.results)}: {what} read another {name} than the audit of "
                        f"the corpus; restore that file and run make study STUDY={study}"
                    )


# ------------------------------------------------------------------------ tabulation
def _measures(item: Stored) -> dict[str, float]:
    """Whatever is known of a run; NaN for what it does not have."""
    metrics, cost = item.metrics, item.efficiency
    lost, latency = cost["prediction_truncation"], cost["latency"]
    if item.run.members and "milliseconds" not in latency:
        latency = latency | {"p50_ms": None, "p95_ms": None}  # older results add up those of the members
    found = {
        "precision": 100 * metrics["micro"]["precision"],
        "recall": 100 * metrics["micro"]["recall"],
        "micro_f1": 100 * metrics["micro"]["f1"],
        "macro_f1": 100 * metrics["macro"]["f1"],
        **{f"{name}_f1": 100 * metrics["schemes"][name]["f1"] for name in scoring.SCHEMES[1:]},
        **{f"{name}_f1": 100 * score["f1"] for name, score in metrics["conventions"].items()},
        **{f"{name}_mentions": score["support"] for name, score in metrics["conventions"].items()},
        **_repair(metrics.get("repair")),
        "weighted_f1": 100 * metrics["weighted"]["f1"],
        "mentions": metrics["micro"]["support"],
        **{key: metrics.get(key) for key in ("sentences", "predicted", "answered")},
        **{key: cost.get(key) for key in ("training_seconds", "looks_seconds", "steps")},
        **{key: cost.get(key) for key in ("sentences_per_second", "batch_size")},
        **{f"latency_{key}": latency[key] for key in ("mean_ms", "p50_ms", "p95_ms")},
        "memory_mib": _memory(cost["prediction_memory"]),
        "training_memory_mib": _memory(cost.get("training_memory", {})),
        "parameters_millions": cost["parameters"]["total"] / 1e6,
        "trainable_millions": cost["parameters"]["trainable"] / 1e6,
        **{key: lost.get(key) for key in ("lost_words", "lost_mentions")},
        "cut_off_examples": cost.get("training_truncation", {}).get("cut_off_examples"),
        **dict.fromkeys(("dev_f1", "dev_f1_at_lowest_loss", "loss_agrees", "last_look_best")),
        **dict.fromkeys(SHARES[: SHARES.index("loss_agrees")]),
    }
    if "statuses" in metrics:
        whole, items = metrics["sentences"] / 100, max(1, metrics["answered"]) / 100
        found |= {status: metrics["statuses"].get(status, 0) / whole for status in STATUSES}
        found |= {"cut_off": lost["cut_off_answers"] / whole}
        found |= {"ungrounded_rate": 100 * metrics["ungrounded_rate"]}
        found |= {f"dropped.{reason}": metrics["dropped"].get(reason, 0) / items for reason in DROPPED}
    if looks := look_rows(cost):
        chosen = next(look for look in looks if look["chosen"])
        lowest = next(look for look in looks if look["lowest_loss"])
        found |= {"dev_f1": chosen["dev_f1"], "dev_f1_at_lowest_loss": lowest["dev_f1"]}
        found |= {"loss_agrees": 100 * (chosen is lowest), "last_look_best": 100 * (chosen is looks[-1])}
    return {key: float("nan") if value is None else float(value) for key, value in found.items()}


def _repair(found: dict[str, Any] | None) -> dict[str, float | None]:
    if found is None:  # of what writes, or was stored before it was known
        return dict.fromkeys(("repaired_spans", "discarded_f1"))
    return {"repaired_spans": found["spans"], "discarded_f1": 100 * found["discarded"]["f1"]}


def _memory(peak: dict[str, float]) -> float | None:
    """The device's memory on a GPU, the process' on a CPU."""
    return peak.get("gpu_mib", peak.get("process_mib"))


def look_rows(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The looks of a training record: look, progress (percent), dev_f1, dev_loss, chosen, lowest_loss."""
    looks = record.get("looks", [])
    lowest = min(looks, key=lambda look: look["dev_loss"], default=None)  # the first of equals
    return [
        {
            "look": number,
            "progress": 100 * look["step"] / record["steps_declared"],
            "dev_f1": 100 * look["dev_f1"],
            "dev_loss": look["dev_loss"],
            "chosen": f"checkpoint-{look['step']}" == record["best_checkpoint"],
            "lowest_loss": look is lowest,
        }
        for number, look in enumerate(looks, 1)
    ]


@dataclass(frozen=True)
class Results:
    """A study's results. The frames carry ids (dataset, system) and labels (corpus, label)."""

    name: str
    study: Study
    stored: list[Stored]
    audits: dict[str, dict[str, Any]]
    warnings: list[str]

    def _rows(self, of) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "dataset": item.run.dataset_name,
                "system": item.run.system,
                "corpus": item.run.dataset.label,
                "label": item.run.label,
                "seed": item.run.seed,
                **row,
            }
            for item in self.stored
            for row in of(item)
        )

    @cached_property
    def corpora(self) -> dict[str, dict[str, Any]]:
        """The audits by the corpora's labels."""
        return {item.run.dataset.label: self.audits[item.run.dataset_name]["audit"] for item in self.stored}

    @cached_property
    def companions(self) -> list[Results]:
        """The results of the companion studies, as declared. Raises what `load_results` raises."""
        return [load_results(name) for name in self.study.companions]

    @cached_property
    def _answers(self) -> dict[tuple[Any, ...], Any]:
        return {}

    def once(self, find: Callable[..., Any], *arguments: Any) -> Any:
        """``find(self, *arguments)``, found once: several ask, and the answer may take seconds."""
        if (find, *arguments) not in self._answers:
            self._answers[find, *arguments] = find(self, *arguments)
        return self._answers[find, *arguments]

    def told_by(self, asks: Callable[[Results], Any]) -> Results:
        """Return self if ``asks(self)``, else the first companion study for which it holds, else self."""
        return self if asks(self) else next(filter(asks, self.companions), self)

    @cached_property
    def undisturbed(self) -> Results:
        """The same without the systems that met disturbed sentences: there is a table for these."""
        kept = [item for item in self.stored if not item.run.perturbed]
        return self if len(kept) == len(self.stored) else replace(self, stored=kept)

    @cached_property
    def systems(self) -> list[Run]:
        """The first run of each system on each corpus."""
        first = {(item.run.dataset_name, item.run.system): item.run for item in reversed(self.stored)}
        return list(reversed(first.values()))

    def corpus_label(self, dataset: str) -> str:
        """A corpus' label, by its id."""
        return next(item.run.dataset.label for item in self.stored if item.run.dataset_name == dataset)

    @cached_property
    def runs(self) -> pd.DataFrame:
        """One row a run: approach and kind of its model, and what `_measures` finds."""

        def of(item: Stored) -> Iterator[dict[str, Any]]:
            train = self.audits[item.run.dataset_name]["audit"]["splits"]["train"]["sentences"]
            seen = 0 if item.run.untrained else min(item.run.train_sentences or train, train)
            model = item.run.model
            yield {"approach": model.approach, "kind": model.kind, "train_sentences": seen, **_measures(item)}

        return self._rows(of)

    @cached_property
    def looks(self) -> pd.DataFrame:
        """One row a look at dev, as `look_rows` describes it, of the systems that were trained themselves."""
        return self._rows(lambda item: look_rows(item.efficiency) if item.run.base is None else ())

    @cached_property
    def tuning(self) -> list[tuple[Run, dict[str, Any]]]:
        """What `make tune` found, with a run of each system that was tuned."""
        chosen = [name for name, system in self.study.systems.items() if system.settings == "tuned"]
        return [(run, tuned.stored(run)) for run in self.systems if run.system in chosen]

    @cached_property
    def types(self) -> pd.DataFrame:
        """One row a dataset, system and type: precision, recall, f1 (means over seeds), mentions."""

        def of(item: Stored) -> Iterator[dict[str, Any]]:
            for kind in item.run.dataset.types:
                score = item.metrics["types"].get(kind, scoring.prf(0, 0, 0)._asdict())
                scores = {key: 100 * score[key] for key in ("precision", "recall", "f1")}
                yield {"type": kind, "mentions": score["support"], **scores}

        keys = ["dataset", "system", "corpus", "label", "type"]
        return self._rows(of).drop(columns="seed").groupby(keys, sort=False).mean().reset_index()

    @cached_property
    def summary(self) -> pd.DataFrame:
        """One row a dataset and system: means over seeds, 95 % intervals as <score>_low and _high."""
        keys = ["dataset", "system", "corpus", "label", "approach", "kind"]
        groups = self.runs.groupby(keys, sort=False)
        frame = groups.mean().drop(columns="seed").assign(seeds=groups.size()).reset_index()
        for metric in ("micro_f1", "macro_f1"):
            found = [self._interval(row.dataset, metric, row.system) for row in frame.itertuples()]
            frame[f"{metric}_low"] = [100 * bounds.low for bounds in found]
            frame[f"{metric}_high"] = [100 * bounds.high for bounds in found]
        return frame

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        """The declared comparisons on each dataset: difference a - b of the primary score with its
        interval, the smallest difference that would be found with a power of 80 % at the strictest step of
        Holm's correction, p, and p_holm, corrected over all rows."""
        metric, resamples = self.study.protocol.primary_metric, self.study.protocol.resamples
        corpora = {item.run.dataset_name: item.run.dataset.label for item in self.stored}
        labels = {item.run.system: item.run.label for item in self.stored}
        rows = []
        alpha = ALPHA / max(1, len(corpora) * len(self.study.protocol.comparisons))
        for dataset, corpus in corpora.items():
            tables, groups = self.counts[dataset]
            for a, b in self.study.protocol.comparisons:
                bounds = self._interval(dataset, metric, a, b)
                p = significance.paired_test(tables[a], tables[b], groups, metric, resamples, SEED)
                least = significance.smallest_difference(tables[a], tables[b], groups, metric, alpha)
                found = [100 * value for value in (*bounds, least)]
                rows.append([dataset, corpus, a, b, labels[a], labels[b], *found, p])
        columns = ["dataset", "corpus", "a", "b", "label_a", "label_b"]
        columns += ["difference", "low", "high", "smallest", "p"]
        frame = pd.DataFrame(rows, columns=columns)
        return frame.assign(p_holm=significance.holm(frame["p"].tolist()))

    @cached_property
    def counts(self) -> dict[str, tuple[dict[str, np.ndarray], np.ndarray]]:
        """For each dataset, what `statistics.tabulate` makes of its runs."""
        tables = {}
        for dataset in self.study.datasets:
            items = [item for item in self.stored if item.run.dataset_name == dataset]
            rows: dict[str, list] = {}
            for item in items:
                rows.setdefault(item.run.system, []).append(item.counts)
            counts, groups = resampling.tabulate(rows, items[0].run.dataset.types)
            gold = [run[..., 0] + run[..., 2] for runs in counts.values() for run in runs]
            if not all(np.array_equal(gold[0], other) for other in gold):
                raise ResultError(f"{self.name}/{dataset}: its runs were scored on different gold")
            tables[dataset] = counts, groups
        return tables

    def _interval(self, dataset: str, metric: str, system: str, against: str | None = None):
        tables, groups = self.counts[dataset]
        other = tables[against] if against else None
        return resampling.interval(tables[system], groups, metric, self.study.protocol.resamples, SEED, other)
