"""Corpora: one loader, one shape.

A corpus is looked for in ``NER_DATA_DIR``, among our own corpora, in the cache and at its official
source, in this order. Whatever is missing or malformed raises `DataError`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ner_utils import paths
from ner_utils.config import tag_schemes
from ner_utils.config.schema import Dataset, File
from ner_utils.data import readers
from ner_utils.data.readers import DataError, Sentence
from ner_utils.files import sha256 as digest_of

SPLITS = ("train", "dev", "test")
IGNORED = -100  # the label that a loss skips


def tag_names(dataset: Dataset) -> list[str]:
    """Tags in the order of their integer ids: O, then B and I of each type."""
    return tag_schemes.tag_names(dataset.types)


def load(name: str, dataset: Dataset) -> dict[str, list[Sentence]]:
    """Read all splits of a corpus. Raises `DataError` for whatever is missing or malformed."""
    return {split: load_split(name, dataset, split) for split in SPLITS}


def files(name: str, dataset: Dataset, split: str) -> list[Path]:
    """The files of a split, in the order in which `readers.read` takes them."""
    annotations = dataset.splits[split].annotations
    found = [locate(name, dataset, split)]
    return found + ([_find(name, dataset, annotations)] if annotations else [])


def load_split(name: str, dataset: Dataset, split: str) -> list[Sentence]:
    """Read one split, checksums and declared numbers checked."""
    settings = dataset.splits[split]
    path, *others = files(name, dataset, split)
    sentences: list[Sentence] = []
    documents: dict[str | None, str | None] = {None: None}
    for sentence in readers.read(dataset, path, *others):
        position = f"{split}-{len(sentences):06d}"
        document = documents.setdefault(sentence.document, f"{split}-document-{len(documents)}")
        if dataset.private:  # results carry ids, and that of a post may lead to its text
            sentence = replace(sentence, id=position, document=document)
        elif not sentence.id:
            sentence = replace(sentence, id=position)
        sentences.append(sentence)
    for what, found, wanted in (
        ("sentences", len(sentences), settings.sentences),
        ("documents", len(documents) - 1, settings.documents),
    ):
        if wanted not in (None, found) or not sentences:
            raise DataError(
                f"{path}: {found} {what}, expected {wanted or 'some'}: "
                "truncated, doubled, or another edition of the corpus"
            )
    if len({sentence.id for sentence in sentences}) < len(sentences):  # one of the file, one of ours
        raise DataError(f"{path}: two sentences share an id")
    return sentences


def to_datasets(sentences: Sequence[Sentence], dataset: Dataset):
    """A ``datasets.Dataset`` with columns id, tokens and ner_tags (a ClassLabel sequence)."""
    import datasets

    features = datasets.Features(
        {
            "id": datasets.Value("string"),
            "tokens": datasets.List(datasets.Value("string")),
            "ner_tags": datasets.List(datasets.ClassLabel(names=tag_names(dataset))),
        }
    )
    columns = {
        "id": [sentence.id for sentence in sentences],
        "tokens": [list(sentence.tokens) for sentence in sentences],
        "ner_tags": [sentence.ner_tags for sentence in sentences],
    }
    return datasets.Dataset.from_dict(columns, features=features)


# ---------------------------------------------------------------------------- finding
def locate(name: str, dataset: Dataset, split: str) -> Path:
    """The file of a split, fetched from its official source where it is not at hand."""
    return _find(name, dataset, dataset.splits[split])


def digests(name: str, dataset: Dataset) -> dict[str, str]:
    """SHA-256 of the files of a corpus, by the names that its configuration gives them; of those at hand."""
    splits = dataset.splits.values()
    wanted = [*splits, *(split.annotations for split in splits if split.annotations)]
    found = {file.file: _at_hand(name, file) for file in wanted}
    return {file: _sha256(path, path.stat().st_mtime_ns) for file, path in sorted(found.items()) if path}


def _at_hand(name: str, wanted: File) -> Path | None:
    """The first local copy of a file."""
    return next((path for path in (f / wanted.file for f in paths.data_dirs(name)) if path.is_file()), None)


@functools.lru_cache(maxsize=1000)  # every run of a study reads the same files
def _sha256(path: Path, changed: int) -> str:
    return digest_of(path)


def _find(name: str, dataset: Dataset, wanted: File) -> Path:
    folders = paths.data_dirs(name)
    if path := _at_hand(name, wanted):
        _verify(path, wanted)
        return path
    looked = ", ".join(str(folder) for folder in folders)
    if not wanted.url and not dataset.hub:
        raise DataError(f"{name}: {wanted.file} not found; looked in {looked}")
    try:
        path = _fetch(folders[-1], dataset, wanted)
    except Exception as error:  # pooch, requests and the hub client share no base class
        raise DataError(
            f"{name}: {wanted.file} is neither in {looked} nor could it be fetched from its source "
            f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}). "
            f"Set NER_DATA_DIR to a folder that holds {folders[-1].name}/{wanted.file}, "
            "or connect to the network."
        ) from None
    _verify(path, wanted)
    return path


def _verify(path: Path, wanted: File) -> None:
    if not wanted.sha256:
        return
    found = _sha256(path, path.stat().st_mtime_ns)
    if found != wanted.sha256:
        raise DataError(
            f"{path}: sha256 {found} differs from the declared {wanted.sha256}: "
            "truncated, changed, or another edition of the corpus"
        )


def _fetch(folder: Path, dataset: Dataset, wanted: File) -> Path:
    """Fetch a file into the cache's folder."""
    if wanted.url:
        import pooch

        target = folder / wanted.file
        known_hash = f"sha256:{wanted.sha256}" if wanted.sha256 else None
        fetch = pooch.HTTPDownloader(progressbar=True)
        return Path(pooch.retrieve(wanted.url, known_hash, target.name, target.parent, downloader=fetch))
    from huggingface_hub import hf_hub_download

    source = {"repo_id": dataset.hub.repo, "repo_type": "dataset", "revision": dataset.hub.revision}
    return Path(hf_hub_download(**source, filename=wanted.file, local_dir=folder))
