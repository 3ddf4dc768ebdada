"""Loads models, corpora and studies from their files under ``params``, and checks that they fit together.

Whatever is wrong raises `ConfigError` before any work begins.
"""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Sequence
from typing import Any

from ner_utils import messages, paths
from ner_utils.config.dataset import Dataset, File
from ner_utils.config.schema import CHOSEN, FORMS, NAME, WORDINGS, Model, Pretrained
from ner_utils.config.strict_yaml import ConfigError, check, read_yaml, read_yaml_file, unknown_key, value_of
from ner_utils.config.study import PERSON, Study, System

# Keys in which a system may differ from the one whose weights it uses: they affect prediction alone.
OWN_KEYS = {"label", "max_new_tokens", "constrained", "prediction_batch_size", "prediction_batch_tokens"}
OWN_KEYS |= {"type_names", "definitions", "threshold"}


def names(folder: str) -> list[str]:
    """Ids of the configurations in ``params/<folder>``."""
    return sorted(path.stem for path in (paths.PARAMS / folder).glob("*.yaml"))


def _read(folder: str, name: str) -> tuple[Any, str]:
    """The content of a file below ``params``, and its name for messages."""
    if not isinstance(name, str):
        raise ConfigError(
            f"params/{folder}: expected a name, found {messages.brief(name)}: quote it in YAML, and give "
            "papermill names with -r, because -p converts numbers"
        )
    path = paths.PARAMS / folder / f"{name}.yaml"
    where = paths.relative(path)
    if name not in names(folder):
        raise _no_such_file(where, names(folder))
    if not re.fullmatch(NAME, name):
        raise ConfigError(
            f"{where}: rename this file: letters, digits, _ . and - alone, a letter or digit first"
        )
    return read_yaml_file(path), where


def _no_such_file(where: str, known: Sequence[str]) -> ConfigError:
    listed = ", ".join(known)
    return ConfigError(f"{where}: no such file; there are: {listed} (params/README.md says how to add one)")


# ------------------------------------------------------------------- models and corpora
def load_model(name: str, overrides: dict[str, Any] | None = None, where: str = "") -> Any:
    """A model from ``params/models``, with dotted ``overrides`` applied."""
    values, source = _read("models", name)
    if isinstance(values, dict) and isinstance(other := values.get("weights"), str):
        values = values | _weights_of(other, source)
    model = check(Model, values, source)
    if not overrides:
        return model
    values = model.model_dump()
    for key, value in overrides.items():
        _set_key(values, key, value, where or source)
    return check(Model, values, f"{source} with {where}" if where else source)


def pretrained_models() -> dict[str, Pretrained]:
    """By their names, the models in ``params/models`` that have weights."""
    models = {name: load_model(name) for name in names("models")}
    return {name: model for name, model in models.items() if isinstance(model, Pretrained)}


def _weights_of(name: str, source: str) -> dict[str, Any]:
    """The weights and the architecture of another file in ``params/models``, which must have its own."""
    values, shared = _read("models", name)[0], ("weights", "architecture")
    if not isinstance(values, dict) or not isinstance(values.get("weights"), dict):
        raise ConfigError(f"{source}: weights: expected a model with weights of its own, found {name!r}")
    return {key: values[key] for key in shared if key in values}


def load_dataset(name: str) -> Dataset:
    """A corpus from ``params/datasets``; ``multinerd.de`` is multinerd.yaml in German."""
    stem = paths.corpus(name) if isinstance(name, str) else name
    dataset = check(Dataset, *_read("datasets", stem))
    language = name[len(stem) + 1 :]
    if language and language not in dataset.languages:
        known = [stem, *(f"{stem}.{code}" for code in dataset.languages)]
        raise _no_such_file(f"params/datasets/{name}.yaml", known)
    return _in_language(dataset, language or dataset.language)


def _in_language(dataset: Dataset, code: str) -> Dataset:
    def translated(file: File) -> File:
        changes: dict[str, Any] = {"file": file.file.replace("{language}", code)}
        if annotations := getattr(file, "annotations", None):
            changes["annotations"] = translated(annotations)
        # Checksums and numbers belong to the files of the corpus' first language.
        return file.model_copy(update=changes) if code == dataset.language else type(file)(**changes)

    splits = {name: translated(split) for name, split in dataset.splits.items()}
    label = dataset.label.replace("{language}", code)
    return dataset.model_copy(update={"label": label, "language": code, "languages": [], "splits": splits})


# --------------------------------------------------------------------------- studies
def load_study(name: str, overrides: str = "") -> Study:
    """A study from ``params/studies``; every file that it names is checked as well.

    ``overrides`` are ``[system:]key=value``, separated by white space, with dotted keys and YAML values.
    ``model.<key>`` changes the model of the given system, or of all systems whose models have the key;
    ``protocol.<key>``, ``seeds``, ``datasets`` and (with a system) ``train_sentences`` change the study.
    """
    values, where = _read("studies", name)
    study = check(Study, values, where)
    for system, settings in study.systems.items():
        for key, other in itertools.permutations(settings.overrides, 2):
            if other.startswith(f"{key}."):
                raise ConfigError(f"{where}: systems.{system}.overrides: both {key} and {other} are set")
    values = study.model_dump()
    for text in overrides.split():
        _override(values, text)
    study = check(Study, values, f"{where} with overrides")
    for other in study.companions:
        if other not in set(names("studies")) - {name}:
            raise ConfigError(f"{where}: companions: {other!r} is no other study in params/studies")
    datasets = {dataset: load_dataset(dataset) for dataset in study.datasets}
    systems = {
        name: _with_forms(system, f"{where}: systems.{name}.overrides")
        for name, system in study.systems.items()
    }
    if systems != study.systems:
        study = check(Study, study.model_copy(update={"systems": systems}).model_dump(), where)
    for system, settings in study.systems.items():
        if not settings.ensemble_of:
            _check_system(study, settings, datasets, f"{where}: systems.{system}")
    return study


def _with_forms(system: System, where: str) -> System:
    """The system; one whose output form is to be chosen, as tuned over all forms and wordings."""
    model = system.model and load_model(system.model, system.overrides, where)
    if getattr(model, "output_format", None) != CHOSEN:
        return system
    space = {"output_format": list(FORMS), "wording": list(WORDINGS), **system.space}
    overrides = {"wording": 1, **system.overrides, "output_format": space["output_format"][0]}
    return system.model_copy(update={"settings": "tuned", "space": space, "overrides": overrides})


def _override(study: dict, text: str) -> None:
    where = f"override {messages.brief(text)}"
    target, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"{where}: expected [system:]key=value")
    system, colon, key = target.rpartition(":")
    if colon and system not in study["systems"]:
        raise ConfigError(f"{where}: unknown system {system!r}; there are: {', '.join(study['systems'])}")
    value = read_yaml(value, where)
    systems = {system: study["systems"][system]} if colon else study["systems"]
    if key.startswith("model."):
        key = key.removeprefix("model.")
        having = [settings for settings in systems.values() if _has_key(settings["model"], key)]
        if not having:
            raise ConfigError(f"{where}: {key}: unknown key of the model of {', '.join(systems)}")
        for settings in having:
            settings["overrides"][key] = value
    else:
        _set_key(systems[system] if colon else study, key, value, where)


def _has_key(model: str | None, key: str) -> bool:
    values: Any = load_model(model).model_dump() if model else None
    for part in key.split("."):
        if not isinstance(values, dict) or part not in values:
            return False
        values = values[part]
    return True


def _set_key(values: dict, key: str, value: Any, where: str) -> None:
    """Set a dotted key that exists already."""
    *parents, last = key.split(".")
    for part in parents:
        if isinstance(values, dict) and part in values and values[part] is None:
            raise ConfigError(f"{where}: {key}: {part} is null, so that it has no {last}: set all of {part}")
        values = values.get(part) if isinstance(values, dict) else None
    if not isinstance(values, dict) or last not in values:
        raise ConfigError(f"{where}: {key}: {unknown_key(key)}")
    values[last] = copy.deepcopy(value)  # another override may change a part of it


# ----------------------------------------- does a system fit its model and the study's corpora?
def _check_system(study: Study, system: System, datasets: dict[str, Dataset], where: str) -> None:
    model = load_model(system.model, system.overrides, f"{where}.overrides")
    kind = "zero_shot" if system.zero_shot else "few_shot"
    untrained = ("tagging", "gliner") if system.few_shot else ("tagging",)
    if system.untrained and model.approach in untrained:
        raise ConfigError(f"{where}.{kind}: {model.label} cannot predict so: it needs training")
    if not system.untrained and model.approach == "endpoint":
        raise ConfigError(f"{where}: a model behind a server is not trained: expected zero_shot or few_shot")
    served = model.approach == "endpoint" and model.server.serves
    if served and load_model(served).approach != "generation":
        raise ConfigError(f"{where}: server.serves: {served} does not generate text")
    if system.untrained and system.train_sentences:
        raise ConfigError(f"{where}.train_sentences: {kind} trains on nothing")
    if system.weights_of:
        _check_weights_of(study, system, model, f"{where}.weights_of")
    if system.perturbed:
        _check_perturbed(study, system, model, datasets, f"{where}.perturbed")
    for name, dataset in datasets.items():
        _check_types(system, model, name, dataset, where)
        if dataset.private and model.approach == "endpoint":
            _check_private(model.server, name, where)
    _check_space(system, model, f"{where}.space")


def _check_weights_of(study: Study, system: System, model: Any, where: str) -> None:
    other = study.systems.get(system.weights_of)
    if other is None or not other.model or other.weights_of or other.untrained or other.settings == "tuned":
        raise ConfigError(
            f"{where}: expected a system that is trained as declared; there are: {', '.join(study.systems)}"
        )
    if system.train_sentences or system.untrained:
        raise ConfigError(f"{where}: such a system is not trained: no train_sentences, zero_shot or few_shot")
    if lacking := set(system.seeds or study.seeds) - set(other.seeds or study.seeds):
        raise ConfigError(f"{where}: {system.weights_of} lacks seed {min(lacking)}")
    trained = load_model(other.model, other.overrides).model_dump(exclude=OWN_KEYS)
    values = model.model_dump(exclude=OWN_KEYS)
    for key in values:
        if values[key] != trained.get(key):
            raise ConfigError(f"{where}: {key} must be that of {system.weights_of}")


def _check_perturbed(
    study: Study, system: System, model: Any, datasets: dict[str, Dataset], where: str
) -> None:
    """Its results are compared with those of a system that reads the same sentences undisturbed."""
    if not system.weights_of:
        free = {"label": None, "model": None, "overrides": {}}
        undisturbed = system.model_copy(update=free | {"perturbed": None})
        has_twin = any(
            other.model
            and other.model_copy(update=free) == undisturbed
            and load_model(other.model, other.overrides).model_copy(update={"label": model.label}) == model
            for other in study.systems.values()
        )
        if not system.untrained or not has_twin:
            raise ConfigError(
                f"{where}: name the system that reads test undisturbed in weights_of; if it is not trained, "
                "declare a system with the same model and settings and without perturbed"
            )
    for name, dataset in datasets.items() if system.perturbed == "other origin" else ():
        if not set(PERSON) & set(dataset.types):
            raise ConfigError(f"{where}: {name} has no type {' or '.join(PERSON)}, so nothing would change")


def _check_types(system: System, model: Any, name: str, dataset: Dataset, where: str) -> None:
    type_names = getattr(model, "type_names", {})
    for key, types in (("held_out", system.held_out), ("overrides.type_names", type_names)):
        if unknown := ", ".join(sorted(set(types) - set(dataset.types))):
            known = ", ".join(dataset.types)
            raise ConfigError(f"{where}.{key}: {name} has no type {unknown}, but {known}")
    if set(system.held_out) == set(dataset.types):
        raise ConfigError(f"{where}.held_out: no type of {name} is left to train on")
    words = [type_names.get(kind, word).lower() for kind, word in dataset.types.items()]
    if len(set(words)) < len(words):
        raise ConfigError(f"{where}.overrides.type_names: two types of {name} share one name")
    if getattr(model, "definitions", False) and set(dataset.definitions) != set(dataset.types):
        file = f"params/datasets/{name}.yaml"
        raise ConfigError(f"{where}.overrides.definitions: {file} does not define all types")


def _check_private(server: Any, name: str, where: str) -> None:
    """The text of a private corpus leaves this machine only where that was declared."""
    if not (server.is_local or server.takes_private):
        raise ConfigError(
            f"{where}: {name} is private, and its sentences would be sent to {server.url}; if they may be, "
            "declare server.takes_private: true"
        )


def _check_space(system: System, model: Any, where: str) -> None:
    """Each bound must give a valid model. The declared value must be in the space: it is the first trial."""
    for key, choices in system.space.items():
        values = choices if isinstance(choices, list) else [choices.low, choices.high]
        for value in values:
            load_model(system.model, {**system.overrides, key: value}, where)
        declared = value_of(model, key)
        if isinstance(choices, list):
            inside = declared in values
        else:
            inside = declared is not None and choices.low <= declared <= choices.high
        if not inside:
            raise ConfigError(f"{where}.{key}: the declared value, {declared!r}, must be one of these")
