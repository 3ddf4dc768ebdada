"""What a stored search of hyperparameters found: ``results/<study>/<dataset>/<system>/tuning.json``."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ner_utils import paths, sealed
from ner_utils.config.protocol import System, Tuning
from ner_utils.config.run import Run
from ner_utils.config.sections import ConfigError
from ner_utils.sealed import ResultError


def path(run: Run) -> Path:
    """Where the search of a run's system on its corpus is stored."""
    return paths.RESULTS / run.study / run.dataset_name / run.system / "tuning.json"


def identity(run: Run, system: System, settings: Tuning) -> str:
    """What decides the trials, as a checksum; ``run`` is one of the system as declared."""
    decisive = run.model_copy(update={"seed": settings.seed, "test_sentences": None, "dev_predictions": None})
    dumped = {
        key: choice if isinstance(choice, list) else choice.model_dump()
        for key, choice in system.space.items()
    }
    text = json.dumps([decisive.fingerprint, dumped, settings.trials, settings.seed])
    return hashlib.sha256(text.encode()).hexdigest()


def read(run: Run, system: System, settings: Tuning) -> dict[str, Any]:
    """The stored search of a declared run's system. Raises `ConfigError` where there is none, or another."""
    file, command = path(run), f"make tune STUDY={run.study}"
    if not file.is_file():
        raise ConfigError(f"{paths.relative(file)}: not tuned yet; run {command}")
    try:
        found = stored(run)
    except ResultError as error:
        raise ConfigError(str(error)) from None
    if found["identity"] != identity(run, system, settings):
        raise ConfigError(f"{paths.relative(file)}: of another space or protocol; run {command}")
    return found


def stored(run: Run) -> dict[str, Any]:
    """The stored search of a run's system, whatever its space."""
    return sealed.read_json(path(run), f"restore it, or delete it and run make tune STUDY={run.study}")


def say(values: dict[str, Any]) -> str:
    """Values of a trial, by the last part of their keys."""
    parts = (f"{value:.3g}" if isinstance(value, float) else str(value) for value in values.values())
    return ", ".join(f"{key.rpartition('.')[2]} {part}" for key, part in zip(values, parts, strict=True))
