"""Models and corpora out of their files under ``params``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ner_utils import messages, paths
from ner_utils.config.schema import NAME, RENAMED, Dataset, Model, Split
from ner_utils.config.sections import ConfigError, check, read_file


def names(folder: str) -> list[str]:
    """Ids of the configurations in ``params/<folder>``."""
    return sorted(path.stem for path in (paths.PARAMS / folder).glob("*.yaml"))


def read(folder: str, name: str) -> tuple[Any, str]:
    """What a file below ``params`` holds, and its name for messages. Raises `ConfigError`."""
    if not isinstance(name, str):
        raise ConfigError(
            f"params/{folder}: expected a name, found {messages.brief(name)}: quote it in YAML, and give "
            "papermill names with -r, for its -p reads numbers"
        )
    path = paths.PARAMS / folder / f"{name}.yaml"
    where = paths.relative(path)
    if name not in names(folder):
        raise _no_such_file(where, names(folder))
    if not re.fullmatch(NAME, name):
        raise ConfigError(
            f"{where}: rename this file: letters, digits, _ . and - alone, a letter or digit first"
        )
    return read_file(path), where


def _no_such_file(where: str, known: Sequence[str]) -> ConfigError:
    listed = ", ".join(known)
    return ConfigError(f"{where}: no such file; there are: {listed} (params/README.md says how to add one)")


def load_model(name: str, overrides: dict[str, Any] | None = None, where: str = "") -> Any:
    """A model from ``params/models``, with dotted ``overrides`` applied."""
    values, source = read("models", name)
    model = check(Model, values, source)
    if not overrides:
        return model
    values = model.model_dump()
    for key, value in overrides.items():
        set_key(values, key, value, where or source)
    return check(Model, values, f"{source} with {where}" if where else source)


def load_dataset(name: str) -> Dataset:
    """A corpus from ``params/datasets``; ``multinerd.de`` is multinerd.yaml in German."""
    stem = paths.corpus(name) if isinstance(name, str) else name
    dataset = check(Dataset, *read("datasets", stem))
    language = name[len(stem) + 1 :]
    if language and language not in dataset.languages:
        known = [stem, *(f"{stem}.{code}" for code in dataset.languages)]
        raise _no_such_file(f"params/datasets/{name}.yaml", known)
    return _in_language(dataset, language or dataset.language)


def _in_language(dataset: Dataset, code: str) -> Dataset:
    def of(split: Split) -> Split:
        file = split.file.replace("{language}", code)
        # What is known of the files is known of those in the corpus' first language.
        return split.model_copy(update={"file": file}) if code == dataset.language else Split(file=file)

    splits = {name: of(split) for name, split in dataset.splits.items()}
    label = dataset.label.replace("{language}", code)
    return dataset.model_copy(update={"label": label, "language": code, "languages": [], "splits": splits})


def set_key(values: dict, key: str, value: Any, where: str) -> None:
    """Set a dotted key that exists already; `ConfigError` where it does not."""
    *parents, last = key.split(".")
    if last in RENAMED:
        raise ConfigError(f"{where}: {last} is now called {RENAMED[last]}")
    for part in parents:
        values = values.get(part) if isinstance(values, dict) else None
    if not isinstance(values, dict) or last not in values:
        raise ConfigError(f"{where}: {key}: unknown key")
    values[last] = value
