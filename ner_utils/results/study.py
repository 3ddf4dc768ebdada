"""A study's results: loaded, refused where they do not fit, tabulated and compared.

Needs no corpus and no model. Scores, shares and differences are in percent here and above.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ner_utils import config, paths, scoring
from ner_utils.config import tuned
from ner_utils.config.run import Run
from ner_utils.config.study import Study
from ner_utils.data import audit
from ner_utils.results.cautions import cautions
from ner_utils.results.evaluation import Stored, load_stored
from ner_utils.results.measures import evaluation_rows, measures
from ner_utils.scoring import resampling, significance
from ner_utils.scoring.resampling import Interval
from ner_utils.sealed import ResultError

ALPHA = 0.05
SEED = 0  # of resampling: the same documents are drawn for every system
TESTED = 10  # rounds of a test for each resample of an interval: chance moves a p of 0.05 by 0.001 at most


def load_results(study: str, overrides: str = "") -> Results:
    """All runs of a study. Raises `ResultError` where one is missing, was made with another
    configuration or scorer, or was changed since."""
    settings = config.load_study(study, overrides)
    stored = [load_stored(run) for run in config.runs_of(study, overrides)]
    if len({item.run.label for item in stored}) < len(settings.systems):
        raise ResultError(f"params/studies/{study}.yaml: two systems have one label, give each its own")
    audits = {dataset: audit.load_audit(study, dataset) for dataset in settings.datasets}
    _check_same_corpus(study, stored, audits)
    return Results(study, settings, stored, audits, cautions(stored))


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


def _family(run: Run) -> str:
    if run.has_weights:
        return run.model.weights.model_dump_json()
    return run.model.server.model or run.model.server.serves if run.writes else "ensemble"


def computed_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator of functions of a study's `Results`: several callers need the value, which may take seconds.
    It is computed at the first call with the same further arguments, and kept with the results."""

    @functools.wraps(function)
    def value(results: Results, *arguments: Any) -> Any:
        key = (function, *arguments)
        if key not in results.computed:
            results.computed[key] = function(results, *arguments)
        return results.computed[key]

    return value


@dataclass(frozen=True)
class Results:
    """A study's results. The frames carry ids (dataset, system) and labels (corpus, label)."""

    name: str
    study: Study
    stored: list[Stored]
    audits: dict[str, dict[str, Any]]
    warnings: list[str]
    computed: dict[tuple[Any, ...], Any] = field(default_factory=dict)  # by `computed_once`
    whole: Results | None = None  # of `main`: the results that it is a part of

    # ------------------------------------------------------------ studies, systems and corpora
    @cached_property
    def companions(self) -> list[Results]:
        """The results of the companion studies that are declared. Raises what `load_results` raises."""
        return [load_results(name) for name in self.study.companions]

    def first_with(self, holds: Callable[[Results], Any]) -> Results:
        """Return self if ``holds(self)``, else the first companion study for which it holds; self if it holds
        for none."""
        return self if holds(self) else next(filter(holds, self.companions), self)

    @cached_property
    def undisturbed(self) -> Results:
        """The same without systems that were tested on disturbed sentences: these have their own table."""
        kept = [item for item in self.stored if not item.run.perturbed]
        return self if len(kept) == len(self.stored) else replace(self, stored=kept, computed={})

    @cached_property
    def main(self) -> Results:
        """The undisturbed systems that the study declares as its main ones, for figures that cannot show
        many; all of them where it declares none."""
        whole, names = self.undisturbed, self.study.main_systems
        kept = [item for item in whole.stored if item.run.system in names]
        return replace(whole, stored=kept, computed={}, whole=whole) if kept else whole

    @cached_property
    def families(self) -> dict[str, str]:
        """By the systems' labels, what identifies their pretrained weights; of ensembles, their kind."""
        runs = (item.run for item in (self.whole or self).stored)
        return {run.label: _family(run) for run in runs}

    @cached_property
    def systems(self) -> list[Run]:
        """The first run of each system on each corpus."""
        return list(config.configurations(item.run for item in self.stored).values())

    @cached_property
    def corpora(self) -> dict[str, dict[str, Any]]:
        """The audits by the corpora's labels."""
        return {item.run.dataset.label: self.audits[item.run.dataset_name]["audit"] for item in self.stored}

    def corpus_label(self, dataset: str) -> str:
        """A corpus' label, by its id."""
        return next(item.run.dataset.label for item in self.stored if item.run.dataset_name == dataset)

    @cached_property
    def tuning(self) -> list[tuple[Run, dict[str, Any]]]:
        """What `make tune` stored, with a run of each system that was tuned."""
        chosen = [name for name, system in self.study.systems.items() if system.settings == "tuned"]
        return [(run, tuned.stored(run)) for run in self.systems if run.system in chosen]

    # ----------------------------------------------------------------------------- frames
    def _frame(self, rows_of: Callable[[Stored], Any]) -> pd.DataFrame:
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
            for row in rows_of(item)
        )

    def annotated(self, run: Run) -> int:
        """The number of annotated sentences that a run learns from."""
        train = self.audits[run.dataset_name]["audit"]["splits"]["train"]["sentences"]
        return 0 if run.untrained else min(run.train_sentences or train, train)

    @cached_property
    def runs(self) -> pd.DataFrame:
        """One row a run: approach and kind of its model, training sentences, and its `measures`."""

        def rows(item: Stored) -> Iterator[dict[str, Any]]:
            model, seen = item.run.model, self.annotated(item.run)
            yield {"approach": model.approach, "kind": model.kind, "train_sentences": seen, **measures(item)}

        return self._frame(rows)

    @cached_property
    def evaluations(self) -> pd.DataFrame:
        """One row an evaluation on dev, with the columns of `evaluation_rows`, of the systems that have a
        training of their own."""
        return self._frame(lambda item: evaluation_rows(item.efficiency) if item.run.base is None else ())

    @cached_property
    def types(self) -> pd.DataFrame:
        """One row a dataset, system and type: precision, recall, f1 (means over seeds), mentions."""

        def rows(item: Stored) -> Iterator[dict[str, Any]]:
            for kind in item.run.dataset.types:
                score = item.metrics["types"].get(kind, scoring.prf(0, 0, 0)._asdict())
                scores = {key: 100 * score[key] for key in ("precision", "recall", "f1")}
                yield {"type": kind, "mentions": score["support"], **scores}

        keys = ["dataset", "system", "corpus", "label", "type"]
        return self._frame(rows).drop(columns="seed").groupby(keys, sort=False).mean().reset_index()

    @cached_property
    def summary(self) -> pd.DataFrame:
        """One row a dataset and system: means over seeds, 95 % intervals as <score>_low and _high."""
        keys = ["dataset", "system", "corpus", "label", "approach", "kind"]
        groups = self.runs.groupby(keys, sort=False)
        frame = groups.mean().drop(columns="seed").assign(seeds=groups.size()).reset_index()
        for metric in ("micro_f1", "macro_f1"):
            bounds = [self.interval(row.dataset, metric, row.system) for row in frame.itertuples()]
            frame[f"{metric}_low"] = [100 * each.low for each in bounds]
            frame[f"{metric}_high"] = [100 * each.high for each in bounds]
        return frame

    # ------------------------------------------------------------------------ comparisons
    @cached_property
    def comparisons(self) -> pd.DataFrame:
        """The declared comparisons on each dataset, on the seeds that both systems have
        (`resampling.on_common_seeds`): difference a - b of the primary score with its interval, the smallest
        difference that would be found with a power of 80 % at the strictest step of Holm's correction, p, and
        p_holm, corrected over all rows."""
        protocol = self.study.protocol
        metric = protocol.primary_metric
        corpora = {item.run.dataset_name: item.run.dataset.label for item in self.stored}
        labels = {item.run.system: item.run.label for item in self.stored}
        alpha = ALPHA / max(1, len(corpora) * len(protocol.comparisons))
        rows = []
        for dataset, corpus in corpora.items():
            for a, b in protocol.comparisons:
                pair, groups = self.paired_counts(dataset, a, b)
                bounds = self.interval(dataset, metric, a, b)
                p = significance.paired_test(*pair, groups, metric, TESTED * protocol.resamples, SEED)
                least = significance.smallest_difference(*pair, groups, metric, alpha)
                percents = [100 * value for value in (*bounds, least)]
                rows.append([dataset, corpus, a, b, labels[a], labels[b], *percents, p])
        columns = ["dataset", "corpus", "a", "b", "label_a", "label_b"]
        columns += ["difference", "low", "high", "smallest", "p"]
        frame = pd.DataFrame(rows, columns=columns)
        return frame.assign(p_holm=significance.holm(frame["p"].tolist()))

    def interval_of(self, run: Run, metric: str, types: list[int] | slice = slice(None)) -> Interval:
        """One run's score from 0 to 1 with its 95 % interval; of all types, or of those with the given
        indices in the dataset."""
        tables, groups = self.counts[run.dataset_name]
        counts = tables[run.system][[self.study.seeds_of(run.system).index(run.seed)]][:, :, types]
        return resampling.interval(counts, groups, metric, self.study.protocol.resamples, SEED)

    @cached_property
    def counts(self) -> dict[str, tuple[dict[str, np.ndarray], np.ndarray]]:
        """By dataset: the counts of each system, and the groups of its sentences (`resampling.tabulate`)."""
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

    def paired_counts(self, dataset: str, *systems: str) -> tuple[list[np.ndarray], np.ndarray]:
        """The counts of systems on their common seeds, and the groups of their sentences."""
        tables, groups = self.counts[dataset]
        sides = ((tables[name], self.study.seeds_of(name)) for name in systems)
        return resampling.on_common_seeds(*sides), groups

    def interval(
        self, dataset: str, metric: str, *systems: str, types: list[int] | slice = slice(None)
    ) -> Interval:
        """A system's score from 0 to 1, or the difference of two systems' scores, with its 95 % interval; of
        all types, or of those with the given indices in the dataset."""
        sides, groups = self.paired_counts(dataset, *systems)
        sides = [side[:, :, types] for side in sides]
        return resampling.interval(sides[0], groups, metric, self.study.protocol.resamples, SEED, *sides[1:])
