"""Configurations: YAML files under ``params`` in, strict and typed objects out.

Whatever is wrong (an unknown key, a wrong type, a missing file, an unknown name) raises
`ConfigError` before any work begins, and says which file and key, and what was expected.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ner_utils import messages
from ner_utils.config import strict_yaml, study_checks, tuned
from ner_utils.config.protocol import Study
from ner_utils.config.run import Run
from ner_utils.config.schema import Ensemble
from ner_utils.config.sections import ConfigError, check, read_yaml
from ner_utils.config.strict_yaml import load_dataset, load_model, names, set_key


def load_study(name: str, overrides: Sequence[str] = ()) -> Study:
    """A study from ``params/studies``; every file that it names is checked as well.

    ``overrides`` are ``[system:]key=value`` with dotted keys and YAML values. ``model.<key>``
    changes the model of all systems that have the key, or of the one named; ``protocol.<key>``,
    ``seeds``, ``datasets`` and ``train_sentences`` (with a system) change the study.
    """
    values, where = strict_yaml.read("studies", name)
    study = check(Study, values, where)
    values = study.model_dump()
    for text in overrides:
        _override(values, text)
    study = check(Study, values, f"{where} with overrides")
    for other in study.companions:
        if other not in set(names("studies")) - {name}:
            raise ConfigError(f"{where}: companions: {other!r} is no other study in params/studies")
    datasets = {dataset: load_dataset(dataset) for dataset in study.datasets}
    for system, settings in study.systems.items():
        if settings.ensemble_of:
            continue
        model = load_model(settings.model, settings.overrides, f"{where}: systems.{system}.overrides")
        kind = "zero_shot" if settings.zero_shot else "few_shot"
        if settings.untrained and model.approach != "generation":
            raise ConfigError(
                f"{where}: systems.{system}.{kind}: only a generation model has no head to train"
            )
        if settings.untrained and settings.train_sentences:
            raise ConfigError(f"{where}: systems.{system}.train_sentences: {kind} trains on nothing")
        if settings.weights_of:
            study_checks.weights_of(study, system, model, where)
        if settings.perturbed:
            study_checks.perturbed(study, system, model, datasets, f"{where}: systems.{system}.perturbed")
        study_checks.types(settings, model, datasets, f"{where}: systems.{system}")
        if settings.space:
            study_checks.space(settings, model, f"{where}: systems.{system}.space")
    return study


def _override(study: dict, text: str) -> None:
    where = f"override {messages.brief(text)}"
    target, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"{where}: expected [system:]key=value")
    system, colon, key = target.rpartition(":")
    if colon and system not in study["systems"]:
        raise ConfigError(f"{where}: unknown system {system!r}; there are: {', '.join(study['systems'])}")
    value = read_yaml(value, where)
    chosen = [system] if colon else list(study["systems"])
    if key.startswith("model."):
        key = key.removeprefix("model.")
        models = {name: study["systems"][name]["model"] for name in chosen}
        having = [name for name, model in models.items() if model and _has(model, key)]
        if not having:
            raise ConfigError(f"{where}: {key}: unknown key of the model of {', '.join(chosen)}")
        for name in having:
            study["systems"][name]["overrides"][key] = value
    elif colon:
        set_key(study["systems"][system], key, value, where)
    else:
        set_key(study, key, value, where)


def _has(model: str, key: str) -> bool:
    values: Any = load_model(model).model_dump()
    for part in key.split("."):
        if not isinstance(values, dict) or part not in values:
            return False
        values = values[part]
    return True


def split_overrides(text: str) -> list[str]:
    """The overrides in one string, separated by white space (how notebooks and make take them)."""
    return text.split()


def load_run(
    study: str, dataset: str, system: str, seed: int, overrides: str = "", declared: bool = False
) -> Run:
    """Resolve one run of a study; ``declared``: with the settings that its files say, tuned or not.

    A corpus that the study does not list takes the place of those that it does, as with ``datasets=[corpus]``
    among the overrides; that is printed.
    """
    return _resolve(study, _study_on(study, dataset, overrides), dataset, system, seed, declared)


def _study_on(study: str, dataset: str, overrides: str) -> Study:
    """A study with a corpus among its datasets."""
    chosen = split_overrides(overrides)
    settings = load_study(study, chosen)
    if dataset in settings.datasets:
        return settings
    load_dataset(dataset)
    print(
        f"study {study} does not list {dataset}: going on as with the override datasets=[{dataset}]; "
        f"a batch of the same: make study STUDY={study} OVERRIDES='datasets=[{dataset}]'"
    )
    return load_study(study, [*chosen, f"datasets=[{json.dumps(dataset)}]"])


def _resolve(study: str, settings: Study, dataset: str, system: str, seed: int, declared: bool) -> Run:
    where = f"params/studies/{study}.yaml"
    if system not in settings.systems:
        raise ConfigError(f"{where}: no system {system!r}; there are: {', '.join(settings.systems)}")
    chosen = settings.systems[system]
    allowed = [0] if chosen.zero_shot else settings.seeds
    if seed not in allowed:
        remedy = "" if chosen.zero_shot else f"; for another: OVERRIDES=seeds=[{seed}]"
        raise ConfigError(f"{where}: system {system} has no seed {seed!r}; there are: {allowed}{remedy}")
    if chosen.ensemble_of:
        return _ensemble(study, settings, dataset, system, seed)
    model = load_model(chosen.model, chosen.overrides)
    base = _resolve(study, settings, dataset, chosen.weights_of, seed, False) if chosen.weights_of else None
    run = Run(
        study=study,
        dataset_name=dataset,
        system=system,
        label=chosen.label or model.label,
        dataset=load_dataset(dataset),
        model=model,
        untrained=chosen.untrained,
        few_shot=chosen.few_shot or 0,
        train_sentences=base.train_sentences if base else chosen.train_sentences,
        base=base,
        selected_by=chosen.selected_by,
        held_out=base.held_out if base else tuple(chosen.held_out),
        perturbed=chosen.perturbed,
        seed=seed,
        **_of_protocol(settings),
    )
    return run if declared or chosen.settings == "declared" else _tuned(run, settings)


def _of_protocol(study: Study) -> dict[str, Any]:
    """What a run takes from its study's protocol."""
    keys = ("dev_evaluations", "dev_sample", "test_sentences", "dev_predictions", "latency_sentences")
    return {key: getattr(study.protocol, key) for key in keys}


def _ensemble(study: str, settings: Study, dataset: str, system: str, seed: int) -> Run:
    """The run of an ensemble: its members with this seed, one that stands twice with its next seed, too."""
    chosen, members = settings.systems[system], []
    for place, name in enumerate(chosen.ensemble_of):
        seeds = [0] if settings.systems[name].zero_shot else settings.systems[name].seeds or settings.seeds
        if seeds != [0] and seed not in seeds:
            raise ConfigError(f"params/studies/{study}.yaml: systems.{system}: {name} has no seed {seed}")
        at = seeds.index(seed) if seed in seeds else 0
        again = chosen.ensemble_of[:place].count(name)
        members.append(_resolve(study, settings, dataset, name, seeds[(at + again) % len(seeds)], False))
    sizes = [member.train_sentences for member in members if not member.untrained]
    return Run(
        study=study,
        dataset_name=dataset,
        system=system,
        label=chosen.label,
        dataset=load_dataset(dataset),
        model=Ensemble(label=chosen.label),
        untrained=False,
        train_sentences=None if None in sizes else max(sizes, default=None),
        members=tuple(members),
        seed=seed,
        **_of_protocol(settings),
    )


def _tuned(run: Run, study: Study) -> Run:
    """A run with the values that `make tune` found for its system."""
    settings = study.systems[run.system]
    values = tuned.read(run, settings, study.protocol.tuning)["chosen"]
    model = load_model(settings.model, {**settings.overrides, **values})
    return run.model_copy(update={"model": model})


def with_companions(study: str, overrides: str = "") -> list[Run]:
    """All runs that a study's thesis needs: those of the study and of its companion studies, which are run as
    declared."""
    companions = load_study(study).companions
    return runs_of(study, overrides) + [run for other in companions for run in runs_of(other)]


def runs_of(study: str, overrides: str = "", dataset: str | None = None) -> list[Run]:
    """All runs of a study: datasets × systems × seeds, zero-shot once (seed 0), few-shot a draw a seed; or
    those on one ``dataset``, which may be one that the study does not list, see `load_run`."""
    settings = (
        _study_on(study, dataset, overrides) if dataset else load_study(study, split_overrides(overrides))
    )
    return [
        _resolve(study, settings, each, system, seed, False)
        for each in ([dataset] if dataset else settings.datasets)
        for system, chosen in settings.systems.items()
        for seed in ([0] if chosen.zero_shot else chosen.seeds or settings.seeds)
    ]
