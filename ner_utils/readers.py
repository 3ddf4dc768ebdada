"""Formats: the files of a split, read line by line into sentences.

Whatever is malformed raises `DataError` with file and line.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ner_utils import standoff
from ner_utils.schema import Dataset
from ner_utils.spans import Span, spans_from_tags, tag_names, tags_from_spans
from ner_utils.standoff import Mention


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
    offsets: tuple[int, ...] | None = None  # where tokens begin in the document's text, in characters
    treated: tuple[str, ...] = ()  # what was done with mentions that spans cannot state, `standoff.TREATED`
    domain: str | None = None  # where its text is from, or what it is about

    @property
    def text(self) -> str:
        """The tokens, joined by spaces."""
        return " ".join(self.tokens)

    @property
    def ner_tags(self) -> list[str]:
        """BIO tags, one a token, as the ``datasets`` library's corpora name them."""
        return tags_from_spans(self.spans, len(self.tokens))


def read(dataset: Dataset, *files: Path) -> Iterator[Sentence]:
    """The sentences of a split; ids are empty where the files give none."""
    readers = {"conll": _read_conll, "jsonl": _read_jsonl}
    readers |= {"pubtator": _read_pubtator, "biocreative": _read_biocreative}
    return readers[dataset.format](dataset, *files)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines without their ends; only newlines end a line (tokens may hold U+2028)."""
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            try:
                # Some editors begin a file with a byte order mark, which is no part of a token.
                yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise DataError(f"{path}:{number}: not UTF-8 ({error.reason})") from None


def _filled(path: Path) -> Iterator[tuple[int, str]]:
    return ((number, line) for number, line in _lines(path) if line.strip())


def _unknown(where: str, what: str, value: Any, dataset: Dataset) -> DataError:
    # In a file with other columns the value may be a word of the text.
    shown = "" if dataset.private else f" {value!r}"
    return DataError(f"{where}: unknown {what}{shown}; types are {', '.join(dataset.types)}")


# ------------------------------------------------------------------------ tokens with tags
# Document borders: CoNLL-2003's, and JNLPBA's, which names the abstract.
_DOCUMENT = re.compile(r"(?:-DOCSTART-|###MEDLINE:(\S+))(?=\s|$)")


def _read_conll(dataset: Dataset, path: Path) -> Iterator[Sentence]:
    """Columns, among them token and tag; blank lines end sentences."""
    known = set(tag_names(dataset.types, dataset.scheme))
    place = [dataset.columns.index(name) for name in ("token", "tag")]
    about = dataset.columns.index(dataset.domain) if dataset.domain else None
    tokens: list[str] = []
    tags: list[str] = []
    document, documents, domain = None, 0, None

    def sentence() -> Iterator[Sentence]:
        if tokens:
            spans, repaired = spans_from_tags(tags, dataset.scheme)
            yield Sentence("", document, tuple(tokens), tuple(spans), repaired, domain=domain)
        tokens.clear()
        tags.clear()

    for number, line in _lines(path):
        where = f"{path}:{number}"
        # WNUT-17 separates sentences by a line that holds a single tab.
        if not line.strip():
            yield from sentence()
            continue
        if border := _DOCUMENT.match(line):
            yield from sentence()
            documents += 1
            document = border[1] or f"{path.name}-{documents}"
            continue
        cells = line.split("\t") if dataset.separator == "tab" else re.split(" +", line.strip(" "))
        if len(cells) != len(dataset.columns):
            wanted = f"{', '.join(dataset.columns)} (separated by a {dataset.separator})"
            raise DataError(f"{where}: expected {wanted}, found {len(cells)} column(s)")
        token, tag = (cells[index] for index in place)
        if not token.strip():
            raise DataError(f"{where}: empty token")
        if tag not in known:
            raise _unknown(where, "tag", tag, dataset)
        tokens.append(token)
        tags.append(tag)
        domain = cells[about] if about is not None else None  # the last token's, for they should agree
    yield from sentence()


def _read_jsonl(dataset: Dataset, path: Path) -> Iterator[Sentence]:
    """A JSON object a line: tokens, ner_tags (names, or ids in the order of `spans.tag_names`), and
    optionally id, document and the field that names a domain."""
    names = tag_names(dataset.types, dataset.scheme)
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
                raise _unknown(where, "tag", tag, dataset)
        fields = {name: row.get(name) for name in ("id", "document", dataset.domain) if name}
        if not all(value is None or isinstance(value, str) for value in fields.values()):
            raise DataError(f"{where}: {' and '.join(fields)} must be strings")
        identity, document, domain = *list(fields.values())[:2], fields.get(dataset.domain)
        spans, repaired = spans_from_tags(tags, dataset.scheme)
        yield Sentence(identity or "", document, tuple(tokens), tuple(spans), repaired, domain=domain)


# ------------------------------------------------------------------- documents with offsets
_PASSAGE = re.compile(r"([^|\t]+)\|([ta])\|(.*)")
_OFFSET = re.compile(r"[0-9]{1,9}")
_Row = tuple[int, str, str, str, str, bool]  # line, start, end, text, type, whether its parts lie apart


def _read_pubtator(dataset: Dataset, path: Path) -> Iterator[Sentence]:
    """Blocks of ``id|t|title``, ``id|a|abstract``, mentions (id, start, end, text, type, and perhaps
    identifiers and the parts of a composite mention) and relations, which are skipped."""
    seen: set[str] = set()
    for blank, block in itertools.groupby(_lines(path), lambda numbered: not numbered[1].strip()):
        if blank:
            continue
        (first, line), *rest = block
        heads = [_PASSAGE.fullmatch(text) for text in (line, rest[0][1] if rest else "")]
        if [head and head[2] for head in heads] != ["t", "a"] or heads[0][1] != heads[1][1]:
            raise DataError(f"{path}:{first}: expected id|t|title, and id|a|abstract below")
        document, rows = heads[0][1], []
        if document in seen:
            raise DataError(f"{path}:{first}: document {document} stands twice")
        seen.add(document)
        for number, line in rest[1:]:
            cells = line.split("\t")
            if len(cells) in (4, 5) and cells[1].replace("_", "").isalpha():
                continue  # a relation
            if len(cells) < 5 or cells[0] != document:
                raise DataError(f"{path}:{number}: expected {document}, start, end, text and type")
            rows.append((number, *cells[1:5], len(cells) > 6 and "|" in cells[6]))
        yield from _sentences(dataset, path, document, [head[3] for head in heads], rows)


def _read_biocreative(dataset: Dataset, path: Path, annotations: Path) -> Iterator[Sentence]:
    """A file of id, title, abstract; and one of mentions: id, number, type, start, end, text."""
    documents: dict[str, list[str]] = {}
    for number, line in _filled(path):
        document, *passages = line.split("\t")
        if len(passages) != 2 or document in documents:
            raise DataError(f"{path}:{number}: expected id, title and abstract of another document")
        documents[document] = passages
    rows: dict[str, list[_Row]] = {document: [] for document in documents}
    for number, line in _filled(annotations):
        cells = line.split("\t")
        if len(cells) != 6 or cells[0] not in documents:
            wanted = f"id of a document in {path.name}, number, type, start, end and text"
            raise DataError(f"{annotations}:{number}: expected {wanted}")
        document, _, kind, start, end, text = cells
        rows[document].append((number, start, end, text, kind, False))
    for document, passages in documents.items():
        yield from _sentences(dataset, annotations, document, passages, rows[document])


def _sentences(
    dataset: Dataset, path: Path, document: str, passages: Sequence[str], rows: Sequence[_Row]
) -> Iterator[Sentence]:
    """The sentences of a document, the text of its mentions checked against its own."""
    whole, mentions = standoff.text_of(passages), []
    for line, start, end, text, kind, discontinuous in rows:
        if kind not in dataset.types:
            raise _unknown(f"{path}:{line}", "type", kind, dataset)
        offsets = _OFFSET.fullmatch(start) and _OFFSET.fullmatch(end) and slice(int(start), int(end))
        if not offsets or whole[offsets] != text:
            raise DataError(f"{path}:{line}: the text of the mention does not stand at its offsets")
        mentions.append(Mention(offsets.start, offsets.stop, kind, line, discontinuous))
    try:
        pieces = standoff.cut(passages, mentions, dataset.overlaps)
    except ValueError as error:
        raise DataError(f"{path}: document {document}: {error}") from None
    for piece in pieces:
        yield Sentence("", document, **piece._asdict())
