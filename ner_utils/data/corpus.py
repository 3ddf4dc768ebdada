"""Finds the files of a corpus and reads its splits.

A file is looked for in ``NER_DATA_DIR``, in ``corpora/``, in the cache and at its official source, in this
order. Anything missing or malformed raises `DataError`.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections import Counter
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from urllib.parse import quote

from ner_utils import files, paths
from ner_utils.config.dataset import Dataset, Drawn, File
from ner_utils.config.schema import HubSource
from ner_utils.data.formats import registry
from ner_utils.data.formats.lines import DataError, below
from ner_utils.data.sentence import Sentence
from ner_utils.messages import first_line, shortened

SPLITS = ("train", "dev", "test")
LEAST = 10  # documents, to draw splits by document
IGNORED = -100  # label of tokens that the loss skips
_PART = re.compile(r"(.*-)(\d+)-of-(\d+)(.*)")  # train-00000-of-00003.parquet


def load(name: str, dataset: Dataset) -> dict[str, list[Sentence]]:
    """Read all splits of a corpus. Raises `DataError` for anything missing or malformed."""
    splits = {split: _read_split(name, dataset, split) for split in dataset.splits}
    splits |= draw_splits(splits["train"], dataset.drawn) if dataset.drawn else {}
    return {split: splits[split] for split in SPLITS}


def load_split(name: str, dataset: Dataset, split: str) -> list[Sentence]:
    """Read one split, or draw it from train where the corpus says so. Raises `DataError`."""
    if not dataset.drawn or split in dataset.splits and split != "train":
        return _read_split(name, dataset, split)
    return draw_splits(_read_split(name, dataset, "train"), dataset.drawn)[split]


def draw_splits(sentences: list[Sentence], drawn: Drawn) -> dict[str, list[Sentence]]:
    """The sentences by split, each in their order. A document is drawn whole, unless there are fewer than
    `LEAST`; a sentence without a document is drawn alone. The order in which documents are drawn is that of
    their names' checksums with the seed, so that it is the same on every machine."""
    whole = len({sentence.document for sentence in sentences} - {None}) >= LEAST
    units = [(whole and sentence.document) or sentence.id for sentence in sentences]
    sizes = Counter(units)
    left = sorted(
        sizes, key=lambda unit: hashlib.sha256(f"{drawn.seed}:{unit}".encode()).digest(), reverse=True
    )
    split_of = {}
    for split, share in drawn.shares.items():
        wanted = round(share * len(sentences))
        while left and wanted > 0:
            unit = left.pop()
            split_of[unit] = split
            wanted -= sizes[unit]
    splits: dict[str, list[Sentence]] = {"train": [], **{split: [] for split in drawn.shares}}
    for sentence, unit in zip(sentences, units, strict=True):
        splits[split_of.get(unit, "train")].append(sentence)
    if empty := [split for split, members in splits.items() if not members]:
        raise DataError(f"{len(sentences)} sentences are too few to draw {' and '.join(empty)}")
    return splits


def _read_split(name: str, dataset: Dataset, split: str) -> list[Sentence]:
    """Read one split, and check its declared checksums and numbers of sentences and documents."""
    settings = dataset.splits[split]
    path, *others = [path for file in settings.files for path in _find(name, dataset, file)]
    sentences: list[Sentence] = []
    documents: dict[str | None, str | None] = {None: None}
    for sentence in registry.read(dataset, path, *others):
        position = f"{split}-{len(sentences):06d}"
        document = documents.setdefault(sentence.document, f"{split}-document-{len(documents)}")
        if dataset.private:  # results contain ids, and the id of a post can lead to its text
            sentence = replace(sentence, id=position, document=document)
        elif not sentence.id:
            sentence = replace(sentence, id=position)
        sentences.append(sentence)
    for what, number, declared in (
        ("sentences", len(sentences), settings.sentences),
        ("documents", len(documents) - 1, settings.documents),
    ):
        if declared not in (None, number) or not sentences:
            raise DataError(
                f"{path}: {number} {what}, expected {declared or 'some'}: "
                "truncated, doubled, or another edition of the corpus"
            )
    if len({sentence.id for sentence in sentences}) < len(sentences):  # an id of the file is like one of ours
        raise DataError(f"{path}: two sentences share an id")
    return sentences


# ------------------------------------------------------------------------------ files
def digests(name: str, dataset: Dataset) -> dict[str, str]:
    """SHA-256 of the files of a corpus by their names in its configuration; only of files on this machine."""
    local: dict[str, Path] = {}
    for file in (file for split in dataset.splits.values() for file in split.files):
        found = _local_copies(name, dataset, file)
        for place, path in below(found).items():  # below the folder that holds all files of a pattern
            local[f"{file.file} {place}" if "*" in file.file else file.file] = path
    return {key: files.sha256_once(path) for key, path in sorted(local.items())}


def at_hand(name: str, dataset: Dataset, split: str) -> bool:
    """Whether all files of a split, or of the one from which it is drawn, are on this machine."""
    source = dataset.splits.get(split, dataset.splits["train"])
    return all(_local_copies(name, dataset, file) for file in source.files)


def _folders(name: str, dataset: Dataset, file: File) -> list[Path]:
    """Where a file is looked for. In the cache, each source and pattern has a folder of its own, so that no
    file of another revision or address is read; a checksum makes that unnecessary."""
    *local, cache = paths.data_dirs(name)
    if file.url and not file.sha256:
        cache /= hashlib.sha256(file.url.encode()).hexdigest()[:12]
    elif dataset.hub and not file.sha256:
        pattern = f"-{quote(file.file, safe='')}" if "*" in file.file else ""
        cache /= f"{dataset.hub.repo}@{dataset.hub.revision[:12]}{pattern}"
    return [*local, cache]


def _local_copies(name: str, dataset: Dataset, file: File) -> list[Path]:
    """The file, or the files of a pattern, in the first folder that has any."""
    for folder in _folders(name, dataset, file):
        found = sorted(folder.glob(file.file)) if "*" in file.file else [folder / file.file]
        if found := [path for path in found if path.is_file()]:
            return found
    return []


def _find(name: str, dataset: Dataset, file: File) -> list[Path]:
    """Local copies of a file or pattern, or else downloads. A checksum and numbered parts are checked."""
    found = _local_copies(name, dataset, file) or _download(name, dataset, file)
    if file.sha256 and (actual := files.sha256_once(found[0])) != file.sha256:
        raise DataError(
            f"{found[0]}: sha256 {actual} differs from the declared {file.sha256}: "
            "truncated, changed, or another edition of the corpus"
        )
    for path in found:
        if part := _PART.fullmatch(path.name):
            begin, number, total, end = part.groups()
            after = (int(number) + 1) % max(int(total), 1)  # the first part comes after the last one
            needed = path.with_name(f"{begin}{after:0{len(number)}}-of-{total}{end}")
            if not needed.is_file() and fnmatchcase(needed.name, PurePath(file.file).name):
                raise DataError(f"{needed} not found; expected {int(total)} parts, as {path.name} says")
    return found


def _download(name: str, dataset: Dataset, file: File) -> list[Path]:
    """Download a file, or the files of a pattern, into the cache. Raises `DataError` that says where it was
    looked for."""
    folders = _folders(name, dataset, file)
    searched = ", ".join(map(str, folders))
    cache = folders[-1]
    if not file.url and not dataset.hub:
        raise DataError(f"{name}: {file.file} not found; looked in {searched}")
    try:
        if file.url:
            import pooch  # here, because most runs download nothing

            fetched = pooch.retrieve(
                file.url,
                f"sha256:{file.sha256}" if file.sha256 else None,
                (cache / file.file).name,
                (cache / file.file).parent,
                downloader=pooch.HTTPDownloader(progressbar=True),
            )
            return [Path(fetched)]
        return _from_hub(dataset.hub, file, cache)
    except DataError:
        raise
    except Exception as error:  # pooch, requests and the hub client share no base class
        raise DataError(
            f"{name}: {file.file} is neither in {searched} nor could it be fetched from its source "
            f"({type(error).__name__}: {first_line(error)}). "
            f"Set NER_DATA_DIR to a folder that holds {paths.corpus(name)}/{file.file}, "
            "or connect to the network."
        ) from None


# Datasets of the hub that had a loading script and no owner, and where they are now.
MOVED = {"conll2003": "eriktks/conll2003", "wnut_17": "leondz/wnut_17"}


def _from_hub(hub: HubSource, file: File, cache: Path) -> list[Path]:
    """The files of a hub's revision that match, fetched. Raises `DataError` where there are none."""
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download

    source = {"repo_id": hub.repo, "repo_type": "dataset", "revision": hub.revision}
    if "*" not in file.file:
        return [Path(hf_hub_download(**source, filename=file.file, local_dir=cache))]
    # Under another name until it is whole, because a part of the files would pass for all of them.
    partial = cache.with_name(f"{cache.name}.partial")
    snapshot_download(**source, allow_patterns=[file.file], local_dir=partial)
    if any(partial.glob(file.file)):
        shutil.rmtree(cache, ignore_errors=True)
        return sorted(partial.rename(cache).glob(file.file))
    there = HfApi().list_repo_files(**source)
    message = f"{hub.repo}@{hub.revision[:12]}: no file {file.file}; there are {shortened(', '.join(there))}"
    if any(each.endswith(".py") for each in there):
        message += ". This revision has a loading script, which is never run: take a revision of its branch "
        message += "refs/convert/parquet"
    if moved := MOVED.get(hub.repo):
        message += f". The dataset is {moved} now"
    raise DataError(message)
