"""Resolves the runs of a study: datasets × systems × seeds, each with all that decides its predictions."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any

from ner_utils.config import tuned
from ner_utils.config.load import load_dataset, load_model, load_study
from ner_utils.config.run import Ensemble, Run
from ner_utils.config.strict_yaml import ConfigError
from ner_utils.config.study import Study

# What a run takes from its study's protocol.
PROTOCOL_KEYS = (
    "dev_evaluations",
    "dev_sample",
    "test_sentences",
    "dev_predictions",
    "latency_sentences",
    "window",
    "resamples",
    "comparisons",
)


def load_run(
    study: str,
    dataset: str,
    system: str,
    seed: int,
    overrides: str = "",
    approaches: Collection[str] = (),
    declared: bool = False,
) -> Run:
    """One run of a study; with ``declared``, a tuned system has the settings of its files, too. Raises
    `ConfigError` where its model has none of the ``approaches``, if any are given.

    If the study does not list the corpus, it takes the place of those that are listed, as with the override
    ``datasets=[corpus]``; a message says so.
    """
    run = _resolve(study, _study_on(study, dataset, overrides), dataset, system, seed, declared)
    if approaches and run.model.approach not in approaches:
        where = f"params/studies/{study}.yaml: the model of {system} has approach: {run.model.approach}"
        raise ConfigError(f"{where}; expected {' or '.join(approaches)} here (docs/notebooks.md)")
    return run


def runs_of(study: str, overrides: str = "", dataset: str | None = None) -> list[Run]:
    """All runs of a study. Zero-shot systems have one run (seed 0); few-shot systems draw other examples for
    each seed. With ``dataset``, the runs on it alone; the study need not list it, see `load_run`."""
    settings = _study_on(study, dataset, overrides) if dataset else load_study(study, overrides)
    return [
        _resolve(study, settings, each, system, seed)
        for each in ([dataset] if dataset else settings.datasets)
        for system in settings.systems
        for seed in settings.seeds_of(system)
    ]


def with_companions(study: str, overrides: str = "") -> list[Run]:
    """All runs that a study's thesis needs: those of the study and of its companion studies, which are run as
    declared."""
    companions = load_study(study, overrides).companions
    return runs_of(study, overrides) + [run for other in companions for run in runs_of(other)]


def configurations(runs: Iterable[Run]) -> dict[tuple[str, str, str], Run]:
    """The first run of each `Run.configuration`, in the order of the runs."""
    first: dict[tuple[str, str, str], Run] = {}
    for run in runs:
        first.setdefault(run.configuration, run)
    return first


def _study_on(study: str, dataset: str, overrides: str) -> Study:
    """A study with a corpus among its datasets."""
    settings = load_study(study, overrides)
    if dataset in settings.datasets:
        return settings
    load_dataset(dataset)
    print(
        f"study {study} does not list {dataset}: going on as with the override datasets=[{dataset}]; "
        f"to run the whole study so: make study STUDY={study} OVERRIDES='datasets=[{dataset}]'"
    )
    return load_study(study, f"{overrides} datasets=[{json.dumps(dataset)}]")


def _resolve(
    study: str, settings: Study, dataset: str, system: str, seed: int, declared: bool = False
) -> Run:
    where = f"params/studies/{study}.yaml"
    if system not in settings.systems:
        raise ConfigError(f"{where}: no system {system!r}; there are: {', '.join(settings.systems)}")
    chosen = settings.systems[system]
    allowed = settings.seeds_of(system)
    if seed not in allowed:
        remedy = "" if chosen.zero_shot or chosen.seeds else f"; for another: OVERRIDES=seeds=[{seed}]"
        raise ConfigError(f"{where}: system {system} has no seed {seed!r}; there are: {allowed}{remedy}")
    keys = {"study": study, "dataset_name": dataset, "system": system, "seed": seed}
    keys |= {"dataset": load_dataset(dataset)}
    keys |= {key: getattr(settings.protocol, key) for key in PROTOCOL_KEYS}
    if chosen.ensemble_of:
        return _ensemble(settings, keys)
    model = load_model(chosen.model, chosen.overrides)
    base, labels = (
        _resolve(study, settings, dataset, other, 0 if settings.systems[other].zero_shot else seed)
        if other
        else None
        for other in (chosen.weights_of, chosen.labels_from)
    )
    served = model.approach == "endpoint" and model.server.serves
    run = Run(
        **keys,
        served=load_model(served) if served else None,
        label=chosen.label or model.label,
        model=model,
        untrained=chosen.untrained,
        few_shot=chosen.few_shot or 0,
        train_sentences=base.train_sentences if base else chosen.train_sentences,
        base=base,
        labels=labels,
        labelled_sentences=chosen.labelled_sentences,
        selected_by=chosen.selected_by,
        held_out=base.held_out if base else tuple(chosen.held_out),
        perturbed=chosen.perturbed,
    )
    if declared or chosen.settings == "declared":
        return run
    values = tuned.read(run, chosen, settings.protocol.tuning)["chosen"]
    return run.model_copy(update={"model": load_model(chosen.model, {**chosen.overrides, **values})})


def _ensemble(settings: Study, keys: dict[str, Any]) -> Run:
    """The run of an ensemble: its members with the run's seed; a member that is listed twice has its next
    seed at the second place."""
    study, dataset, system, seed = (keys[key] for key in ("study", "dataset_name", "system", "seed"))
    chosen, members = settings.systems[system], []
    for place, name in enumerate(chosen.ensemble_of):
        seeds = settings.seeds_of(name)
        if seeds != [0] and seed not in seeds:
            raise ConfigError(f"params/studies/{study}.yaml: systems.{system}: {name} has no seed {seed}")
        first = seeds.index(seed) if seed in seeds else 0
        again = chosen.ensemble_of[:place].count(name)
        members.append(_resolve(study, settings, dataset, name, seeds[(first + again) % len(seeds)]))
    sizes = [member.train_sentences for member in members if not member.untrained]
    return Run(
        **keys,
        label=chosen.label,
        model=Ensemble(label=chosen.label),
        untrained=False,
        train_sentences=None if None in sizes else max(sizes, default=None),
        members=tuple(members),
    )
