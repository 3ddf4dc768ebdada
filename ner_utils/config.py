"""Configurations: YAML files under ``params`` in, strict and typed objects out.

Whatever is wrong (an unknown key, a wrong type, a missing file, an unknown name) raises
`ConfigError` before any work begins, and says which file and key, and what was expected.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ner_utils import paths
from ner_utils.protocol import Study, System
from ner_utils.run import Run
from ner_utils.schema import Dataset, Ensemble, Model, Split, value_of
from ner_utils.sections import ConfigError, check, read_yaml


def names(folder: str) -> list[str]:
    """Ids of the configurations in ``params/<folder>``."""
    return sorted(path.stem for path in (paths.PARAMS / folder).glob("*.yaml"))


def _load(folder: str, name: str) -> tuple[dict, str]:
    path = paths.PARAMS / folder / f"{name}.yaml"
    where = paths.relative(path)
    if name not in names(folder):
        raise ConfigError(f"{where}: no such file; there are: {', '.join(names(folder))}")
    return read_yaml(path.read_text(encoding="utf-8"), where), where


def load_model(name: str, overrides: dict[str, Any] | None = None, where: str = "") -> Any:
    """A model from ``params/models``, with dotted ``overrides`` applied."""
    values, source = _load("models", name)
    model = check(Model, values, source)
    if not overrides:
        return model
    values = model.model_dump()
    for key, value in overrides.items():
        _set(values, key, value, where or source)
    return check(Model, values, f"{source} with {where}" if where else source)


def load_dataset(name: str) -> Dataset:
    """A corpus from ``params/datasets``; ``multinerd.de`` is multinerd.yaml in German."""
    stem, _, language = name.partition(".")
    dataset = check(Dataset, *_load("datasets", stem if stem in names("datasets") else name))
    if language and language not in dataset.languages:
        known = ", ".join([stem, *(f"{stem}.{code}" for code in dataset.languages)])
        raise ConfigError(f"params/datasets/{name}.yaml: no such file; there are: {known}")
    return _in_language(dataset, language or dataset.language)


def _in_language(dataset: Dataset, code: str) -> Dataset:
    def of(split: Split) -> Split:
        file = split.file.replace("{language}", code)
        # What is known of the files is known of those in the corpus' first language.
        return split.model_copy(update={"file": file}) if code == dataset.language else Split(file=file)

    splits = {name: of(split) for name, split in dataset.splits.items()}
    label = dataset.label.replace("{language}", code)
    return dataset.model_copy(update={"label": label, "language": code, "languages": [], "splits": splits})


def load_study(name: str, overrides: Sequence[str] = ()) -> Study:
    """A study from ``params/studies``; every file that it names is checked as well.

    ``overrides`` are ``[system:]key=value`` with dotted keys and YAML values. ``model.<key>``
    changes the model of all systems that have the key, or of the one named; ``protocol.<key>``,
    ``seeds``, ``datasets`` and ``train_sentences`` (with a system) change the study.
    """
    values, where = _load("studies", name)
    study = check(Study, values, where)
    values = study.model_dump()
    for text in overrides:
        _override(values, text)
    study = check(Study, values, f"{where} with overrides")
    for other in study.beside:
        if other not in set(names("studies")) - {name}:
            raise ConfigError(f"{where}: beside: {other!r} is no other study in params/studies")
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
            _check_weights_of(study, system, model, where)
        if settings.perturbed:
            _check_perturbed(settings, datasets, f"{where}: systems.{system}.perturbed")
        _check_types(settings, model, datasets, f"{where}: systems.{system}")
        if settings.space:
            _check_space(settings, model, f"{where}: systems.{system}.space")
    return study


def _check_perturbed(system: System, datasets: dict[str, Dataset], where: str) -> None:
    from ner_utils.perturb import KINDS, PERSON

    if system.perturbed not in KINDS:
        raise ConfigError(f"{where}: expected one of {', '.join(KINDS)}, found {system.perturbed!r}")
    if not system.weights_of and not system.untrained:
        raise ConfigError(f"{where}: name the system that read test undisturbed in weights_of")
    for name, dataset in datasets.items() if system.perturbed == "other origin" else ():
        if not set(PERSON) & set(dataset.types):
            raise ConfigError(f"{where}: {name} has no type {' or '.join(PERSON)}, so nothing would change")


def _check_types(system: System, model: Any, datasets: dict[str, Dataset], where: str) -> None:
    """What a system says of types must fit the corpora."""
    names = getattr(model, "type_names", {})
    for name, dataset in datasets.items():
        for key, types in (("held_out", system.held_out), ("overrides.type_names", names)):
            if unknown := ", ".join(sorted(set(types) - set(dataset.types))):
                known = ", ".join(dataset.types)
                raise ConfigError(f"{where}.{key}: {name} has no type {unknown}, but {known}")
        if set(system.held_out) == set(dataset.types):
            raise ConfigError(f"{where}.held_out: no type of {name} is left to train on")
        words = [names.get(kind, word).lower() for kind, word in dataset.types.items()]
        if len(set(words)) < len(words):
            raise ConfigError(f"{where}.overrides.type_names: two types of {name} share one name")
        if getattr(model, "definitions", False) and set(dataset.definitions) != set(dataset.types):
            file = f"params/datasets/{name}.yaml"
            raise ConfigError(f"{where}.overrides.definitions: {file} defines not all types")


def _check_space(system: System, model: Any, where: str) -> None:
    """Every corner of a space must be a model, and what is declared must lie inside: it is a trial, too."""
    for key, choices in system.space.items():
        values = choices if isinstance(choices, list) else [choices.low, choices.high]
        for value in values:
            load_model(system.model, {**system.overrides, key: value}, where)
        declared = value_of(model, key)
        inside = declared in values if isinstance(choices, list) else values[0] <= declared <= values[1]
        if not inside:
            raise ConfigError(f"{where}.{key}: the declared value, {declared!r}, must be one of these")


def _check_weights_of(study: Study, system: str, model: Any, where: str) -> None:
    """A system that predicts with another's weights may differ from it in how it predicts alone."""
    key = f"{where}: systems.{system}.weights_of"
    other = study.systems.get(study.systems[system].weights_of)
    if other is None or not other.model or other.weights_of or other.untrained or other.settings == "tuned":
        raise ConfigError(
            f"{key}: expected a system that is trained as declared; there are: {', '.join(study.systems)}"
        )
    if study.systems[system].train_sentences or study.systems[system].untrained:
        raise ConfigError(f"{key}: such a system is not trained: no train_sentences, zero_shot or few_shot")
    free = {"label", "max_new_tokens", "constrained", "prediction_batch_size", "prediction_batch_tokens"}
    free |= {"type_names", "definitions"}
    mine, theirs = (m.model_dump(exclude=free) for m in (model, load_model(other.model, other.overrides)))
    for name in mine:
        if mine[name] != theirs.get(name):
            raise ConfigError(f"{key}: {name} must be that of {study.systems[system].weights_of}")


def _set(values: dict, key: str, value: Any, where: str) -> None:
    """Set a dotted key that exists already."""
    *parents, last = key.split(".")
    for part in parents:
        values = values.get(part) if isinstance(values, dict) else None
    if not isinstance(values, dict) or last not in values:
        raise ConfigError(f"{where}: {key}: unknown key")
    values[last] = value


def _override(study: dict, text: str) -> None:
    where = f"override {text!r}"
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
        _set(study["systems"][system], key, value, where)
    else:
        _set(study, key, value, where)


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
    """Resolve one run of a study; ``declared``: with the settings that its files say, tuned or not."""
    return _resolve(study, load_study(study, split_overrides(overrides)), dataset, system, seed, declared)


def _resolve(study: str, settings: Study, dataset: str, system: str, seed: int, declared: bool) -> Run:
    where = f"params/studies/{study}.yaml"
    if system not in settings.systems:
        raise ConfigError(f"{where}: no system {system!r}; there are: {', '.join(settings.systems)}")
    if dataset not in settings.datasets:
        raise ConfigError(f"{where}: no dataset {dataset!r}; there are: {', '.join(settings.datasets)}")
    chosen = settings.systems[system]
    allowed = [0] if chosen.zero_shot else settings.seeds
    if seed not in allowed:
        raise ConfigError(f"{where}: system {system} has no seed {seed!r}; there are: {allowed}")
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
    keys = ("looks", "dev_sample", "test_sentences", "dev_predictions", "latency_sentences")
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
    from ner_utils import tuning

    settings = study.systems[run.system]
    values = tuning.read(run, settings, study.protocol.tuning)["chosen"]
    model = load_model(settings.model, {**settings.overrides, **values})
    return run.model_copy(update={"model": model})


def with_those_beside(study: str, overrides: str = "") -> list[Run]:
    """All runs that a study's thesis needs: its own, and, as declared, those of the studies beside it."""
    return runs_of(study, overrides) + [run for other in load_study(study).beside for run in runs_of(other)]


def runs_of(study: str, overrides: str = "") -> list[Run]:
    """All runs of a study: datasets × systems × seeds, zero-shot once (seed 0), few-shot a draw a seed."""
    settings = load_study(study, split_overrides(overrides))
    return [
        _resolve(study, settings, dataset, system, seed, False)
        for dataset in settings.datasets
        for system, chosen in settings.systems.items()
        for seed in ([0] if chosen.zero_shot else chosen.seeds or settings.seeds)
    ]
