"""The stored result of a search for hyperparameters: ``results/<study>/<dataset>/<system>/tuning.json``."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ner_utils import paths, sealed
from ner_utils.config.run import Run
from ner_utils.config.strict_yaml import ConfigError
from ner_utils.config.study import System, Tuning


def path(run: Run) -> Path:
    """The file for the search of a run's system on its corpus."""
    return paths.RESULTS / run.study / run.dataset_name / run.system / "tuning.json"


def identity(run: Run, system: System, settings: Tuning) -> str:
    """A checksum over all that decides the trials; ``run`` is a run of the system as declared."""
    decisive = run.model_copy(update={"seed": settings.seed, "test_sentences": None, "dev_predictions": None})
    space = {
        key: choice if isinstance(choice, list) else choice.model_dump()
        for key, choice in system.space.items()
    }
    decisions = [decisive.fingerprint, space, settings.trials, settings.seed]
    decisions += [run.dev_sample] if run.untrained else []  # a training has it in its fingerprint
    text = json.dumps(decisions)
    return hashlib.sha256(text.encode()).hexdigest()


def read(run: Run, system: System, settings: Tuning) -> dict[str, Any]:
    """The stored search of a declared run's system. Raises `ConfigError` if there is none, or if it searched
    another space or under another protocol."""
    file, command = path(run), f"make tune STUDY={run.study}"
    if not file.is_file():
        raise ConfigError(f"{paths.relative(file)}: not tuned yet; run {command}")
    try:
        search = stored(run)
    except sealed.ResultError as error:
        raise ConfigError(str(error)) from None
    if not search.get("finished", True):
        number = f"{len(search['trials'])} of {settings.trials} trials"
        raise ConfigError(f"{paths.relative(file)}: not tuned yet ({number}); run {command}")
    if search["identity"] != identity(run, system, settings):
        raise ConfigError(f"{paths.relative(file)}: of another space or protocol; run {command}")
    return search


def trials_of(run: Run, system: System, settings: Tuning) -> list[dict[str, Any]]:
    """The stored trials of the same search, finished or not."""
    if not path(run).is_file():
        return []
    search = stored(run)
    return search["trials"] if search["identity"] == identity(run, system, settings) else []


def set_aside(run: Run, system: System, settings: Tuning) -> None:
    """Rename a finished search of another space or protocol, and print its new name."""
    if not path(run).is_file() or trials_of(run, system, settings):
        return
    search = stored(run)
    if search.get("finished", True):
        kept = path(run).with_name(f"tuning-{search['identity'][:12]}.json")
        path(run).rename(kept)
        print(f"{paths.relative(kept)}: the search of another space or protocol that was stored", flush=True)


def stored(run: Run) -> dict[str, Any]:
    """The stored search of a run's system, whatever its space."""
    return sealed.read_json(path(run), f"restore it, or delete it and run make tune STUDY={run.study}")


def declared_f1(search: dict[str, Any]) -> float | None:
    """Dev F1 of the trial with the declared settings; None without one. In searches without the key
    ``declared``, it is the first trial."""
    at = search.get("declared", 0)
    return None if at is None else search["trials"][at]["dev_f1"]


def describe(values: dict[str, Any]) -> str:
    """Values of a trial, by the last part of their keys: ``learning_rate 0.0002, r 8``."""
    parts = (f"{value:.3g}" if isinstance(value, float) else str(value) for value in values.values())
    return ", ".join(f"{key.rpartition('.')[2]} {part}" for key, part in zip(values, parts, strict=True))
