"""Do the systems of a study fit its models and corpora? Each check raises `ConfigError` with the key."""

from __future__ import annotations

from typing import Any

from ner_utils.config.protocol import PERSON, PERTURBATIONS, Study, System
from ner_utils.config.schema import Dataset, value_of
from ner_utils.config.sections import ConfigError
from ner_utils.config.strict_yaml import load_model


def perturbed(study: Study, name: str, model: Any, datasets: dict[str, Dataset], where: str) -> None:
    """A system that reads disturbed sentences is compared with one that reads them as they are."""
    system = study.systems[name]
    if system.perturbed not in PERTURBATIONS:
        raise ConfigError(f"{where}: expected one of {', '.join(PERTURBATIONS)}, found {system.perturbed!r}")
    if not system.weights_of:
        alike = {"perturbed": None, "label": None, "model": None, "overrides": {}}
        plain = system.model_copy(update=alike)
        others = [
            other.model
            and other.model_copy(update=alike | {"perturbed": other.perturbed}) == plain
            and load_model(other.model, other.overrides).model_copy(update={"label": model.label}) == model
            for other in study.systems.values()
        ]
        if not system.untrained or not any(others):
            raise ConfigError(
                f"{where}: name the system that read test undisturbed in weights_of; of a system that is not "
                "trained, declare one with the same model and settings and without perturbed"
            )
    for corpus, dataset in datasets.items() if system.perturbed == "other origin" else ():
        if not set(PERSON) & set(dataset.types):
            raise ConfigError(f"{where}: {corpus} has no type {' or '.join(PERSON)}, so nothing would change")


def types(system: System, model: Any, datasets: dict[str, Dataset], where: str) -> None:
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


def space(system: System, model: Any, where: str) -> None:
    """Each bound must give a valid model. The declared value must be in the space: it is the first trial."""
    for key, choices in system.space.items():
        values = choices if isinstance(choices, list) else [choices.low, choices.high]
        for value in values:
            load_model(system.model, {**system.overrides, key: value}, where)
        declared = value_of(model, key)
        inside = declared in values if isinstance(choices, list) else values[0] <= declared <= values[1]
        if not inside:
            raise ConfigError(f"{where}.{key}: the declared value, {declared!r}, must be one of these")


def weights_of(study: Study, system: str, model: Any, where: str) -> None:
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
