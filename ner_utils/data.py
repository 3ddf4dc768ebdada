"""Corpora: one loader, one shape.

A corpus is looked for in ``NER_DATA_DIR``, among our own corpora, in the cache and at its official
source, in this order. Whatever is malformed raises `DataError` with file and line.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ner_utils import paths
from ner_utils.schema import Dataset, Split
from ner_utils.spans import Span, spans_from_tags, tags_from_spans

SPLITS = ("train", "dev", "test")
IGNORED = -100  # the label that a loss skips


class DataError(Exception):
    """A corpus that cannot be used; the message names file, line and expectation."""


@dataclass(frozen=True)
class Sentence:
    """One sentence of a corpus; ``spans`` are sorted and do not overlap."""

    id: str
    document: str | None
    tokens: tuple[str, ...]
    spans: tuple[Span, ...]
    repaired: int = 0  # tags that the repair policy changed

    @property
    def text(self) -> str:
        """The tokens, joined by spaces."""
        return " ".join(self.tokens)

    @property
    def ner_tags(self) -> list[str]:
        """BIO tags, one a token, as the ``datasets`` library's corpora name them."""
        return tags_from_spans(self.spans, len(self.tokens))


def tag_names(dataset: Dataset) -> list[str]:
    """Tags in the order of their integer ids: O, then B and I of each type."""
    return ["O", *(f"{prefix}-{kind}" for kind in dataset.types for prefix in "BI")]


def load(name: str, dataset: Dataset) -> dict[str, list[Sentence]]:
    """Read all splits of a corpus. Raises `DataError` for whatever is missing or malformed."""
    return {split: load_split(name, dataset, split) for split in SPLITS}


def load_split(name: str, dataset: Dataset, split: str) -> list[Sentence]:
    """Read one split, checksum and number of sentences checked."""
    settings = dataset.splits[split]
    path = locate(name, dataset, split)
    reader = {"conll": _read_conll, "jsonl": _read_jsonl}[dataset.format]
    sentences = [
        Sentence(identity or f"{split}-{index:06d}", document, tokens, tuple(spans), repaired)
        for index, (identity, document, tokens, spans, repaired) in enumerate(reader(path, dataset))
    ]
    if len(sentences) != settings.sentences:
        raise DataError(
            f"{path}: {len(sentences)} sentences, expected {settings.sentences}: "
            "truncated, doubled, or another edition of the corpus"
        )
    if len({sentence.id for sentence in sentences}) < len(sentences):
        raise DataError(f"{path}: two sentences share an id")
    return sentences


def draw(sentences: Sequence[Sentence], number: int | None, seed: int) -> list[Sentence]:
    """A seeded sample, in random order; smaller samples are contained in larger ones."""
    if number is None or number >= len(sentences):
        return list(sentences)
    return random.Random(seed).sample(list(sentences), len(sentences))[:number]


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
    settings = dataset.splits[split]
    folders = paths.data_dirs(name)
    for folder in folders:
        path = folder / settings.file
        if path.is_file():
            _verify(path, settings)
            return path
    looked = ", ".join(str(folder) for folder in folders)
    if not settings.url and not dataset.hub:
        raise DataError(f"{name}: {settings.file} not found; looked in {looked}")
    try:
        return _fetch(name, dataset, settings)
    except Exception as error:  # pooch, requests and the hub client share no base class
        raise DataError(
            f"{name}: {settings.file} is neither in {looked} nor could it be fetched from its source "
            f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}). "
            "Set NER_DATA_DIR to a folder that holds "
            f"{name}/{settings.file}, or connect to the network."
        ) from None


def _verify(path: Path, split: Split) -> None:
    if not split.sha256:
        return
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != split.sha256:
        raise DataError(
            f"{path}: sha256 {found} differs from the declared {split.sha256}: "
            "truncated, changed, or another edition of the corpus"
        )


def _fetch(name: str, dataset: Dataset, split: Split) -> Path:
    folder = paths.cache_dir() / "data" / name
    if split.url:
        import pooch

        known_hash = f"sha256:{split.sha256}" if split.sha256 else None
        target = folder / split.file
        fetch = pooch.HTTPDownloader(progressbar=True)
        return Path(pooch.retrieve(split.url, known_hash, target.name, target.parent, downloader=fetch))
    from huggingface_hub import hf_hub_download

    return Path(
        hf_hub_download(
            dataset.hub.repo, split.file, repo_type="dataset", revision=dataset.hub.revision, local_dir=folder
        )
    )


# ---------------------------------------------------------------------------- reading
_Row = tuple[str | None, str | None, tuple[str, ...], list[Span], int]


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines without their ends; only newlines end a line (tokens may hold U+2028)."""
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            try:
                # Some editors begin a file with a byte order mark, which is no part of a token.
                yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise DataError(f"{path}:{number}: not UTF-8 ({error.reason})") from None


def _read_conll(path: Path, dataset: Dataset) -> Iterator[_Row]:
    """Two columns, token and IOB2 tag, separated by a tab; blank lines end sentences."""
    tokens: list[str] = []
    tags: list[str] = []
    known = set(tag_names(dataset))

    def sentence() -> _Row:
        row = (None, None, tuple(tokens), *spans_from_tags(tags))
        tokens.clear()
        tags.clear()
        return row

    for number, line in _lines(path):
        # WNUT-17 separates sentences by a line that holds a single tab.
        if not line.strip():
            if tokens:
                yield sentence()
            continue
        columns = line.split("\t")
        if len(columns) != 2:
            raise DataError(f"{path}:{number}: expected token<TAB>tag, found {len(columns)} column(s)")
        if not columns[0].strip():
            raise DataError(f"{path}:{number}: empty token")
        if columns[1] not in known:
            raise DataError(
                f"{path}:{number}: unknown tag {columns[1]!r}; types are {', '.join(dataset.types)}"
            )
        tokens.append(columns[0])
        tags.append(columns[1])
    if tokens:
        yield sentence()


def _read_jsonl(path: Path, dataset: Dataset) -> Iterator[_Row]:
    """A JSON object a line: tokens, ner_tags (names, or ids in the order of `tag_names`), and
    optionally id and document."""
    names = tag_names(dataset)
    known = set(names)
    for number, line in _lines(path):
        where = f"{path}:{number}"
        try:
            row = json.loads(line)
            tokens, tags = row["tokens"], row["ner_tags"]
        except (ValueError, RecursionError, KeyError, TypeError) as error:
            raise DataError(f"{where}: expected an object with tokens and ner_tags ({error})") from None
        if not isinstance(tokens, list) or not isinstance(tags, list) or len(tokens) != len(tags):
            raise DataError(f"{where}: tokens and ner_tags must be lists of one length")
        if not tokens or not all(isinstance(token, str) and token.strip() for token in tokens):
            raise DataError(f"{where}: tokens must be non-empty strings")
        if all(type(tag) is int and 0 <= tag < len(names) for tag in tags):
            tags = [names[tag] for tag in tags]
        for tag in tags:
            if not isinstance(tag, str) or tag not in known:
                raise DataError(f"{where}: unknown tag {tag!r}; types are {', '.join(dataset.types)}")
        identity, document = row.get("id"), row.get("document")
        if not all(value is None or isinstance(value, str) for value in (identity, document)):
            raise DataError(f"{where}: id and document must be strings")
        yield identity, document, tuple(tokens), *spans_from_tags(tags)
