"""Folders and files of the project. All other code asks here instead of spelling them out."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARAMS = ROOT / "params"
NOTEBOOKS = ROOT / "notebooks"
RESULTS = ROOT / "results"
RUNS = ROOT / "runs"
FIGURES = ROOT / "figures"
THESIS = ROOT / "thesis"
CORPORA = ROOT / "corpora"


def cache_dir() -> Path:
    """Folder for downloaded corpora and weights, outside git (``NER_CACHE_DIR`` moves it)."""
    default = Path.home() / ".cache" / "ner-study"
    return Path(os.environ.get("NER_CACHE_DIR") or default).expanduser().resolve()


def data_dirs(dataset: str) -> list[Path]:
    """Local folders that may hold a corpus, in the order of search: the user's, the project's, the cache."""
    user = os.environ.get("NER_DATA_DIR")
    folders = [Path(user).expanduser().resolve()] if user else []
    return [folder / corpus(dataset) for folder in [*folders, CORPORA, cache_dir() / "data"]]


def corpus(dataset: str) -> str:
    """The name of a corpus without its language, ``multinerd`` for ``multinerd.de``."""
    stem = dataset.rpartition(".")[0]
    return stem if stem and not _declares(dataset) and _declares(stem) else dataset


def _declares(dataset: str) -> bool:
    return (PARAMS / "datasets" / f"{dataset}.yaml").is_file()


def run_id(dataset: str, system: str, seed: int) -> str:
    """Path of one run below its study, ``dataset/system/seed1``."""
    return f"{dataset}/{system}/seed{seed}"


def weight_folders(scratch: Path) -> list[Path]:
    """Folders of weights in a run's scratch folder: checkpoints, and merged models, finished or not."""
    return sorted([*scratch.glob("checkpoint-*"), *scratch.glob("*merged-*")])


def relative(path: Path) -> str:
    """A path for messages: relative to the project where it lies inside it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def thesis_pdf(study: str) -> Path:
    """The finished thesis: ``thesis/thesis.pdf`` for the default study, ``thesis-<study>.pdf`` otherwise."""
    return THESIS / ("thesis.pdf" if study == "demo" else f"thesis-{study}.pdf")


def thesis_digests(study: str) -> Path:
    """The list of checksums of the files that a study's analysis writes for LaTeX."""
    return THESIS / "generated" / study / "digests.json"
