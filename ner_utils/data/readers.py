"""Formats: the files of a split, read line by line into sentences.

Whatever is malformed raises `DataError` with file and line.
"""

from __future__ import annotations

import contextlib
import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from ner_utils.config.schema import Dataset
from ner_utils.config.tag_schemes import plain, plain_tags
from ner_utils.data import lines, standoff
from ner_utils.data.lines import DataError, Flaws
from ner_utils.data.spans import Span, spans_from_tags, tags_from_spans
from ner_utils.data.standoff import Mention
from ner_utils.messages import brief, shortened, visible

DROPPED = "dropped_flaws"  # beside `standoff.TREATED`: what a file could not state, and was left out


@dataclass(frozen=True)
class Sentence:
    """One sentence of a corpus; ``spans`` are sorted and do not overlap."""

    id: str
    document: str | None
    tokens: tuple[str, ...]
    spans: tuple[Span, ...]
    repaired: int = 0  # tags that the repair policy changed
    offsets: tuple[int, ...] | None = None  # where tokens begin in the document's text, in characters
    treated: tuple[str, ...] = ()  # `standoff.TREATED` of its mentions, and `DROPPED` for each flaw at it
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
    """The sentences of a split; ids are empty where the files give none.

    Flaws that ``flaws: drop`` leaves out are counted in ``treated`` of the sentence that follows, or of the
    last one. Raises `DataError`, for flaws that are refused after the last sentence.
    """
    readers = {"conll": _read_conll, "jsonl": _read_jsonl}
    readers |= {"pubtator": _read_pubtator, "biocreative": _read_biocreative}
    flaws = Flaws(dataset.flaws == "drop")
    before = None
    for sentence in readers[dataset.format](dataset, flaws, *files):
        if before:
            yield before
        before = _with_dropped(sentence, flaws.take())
    flaws.refuse()
    if before:
        yield _with_dropped(before, flaws.take())


def _with_dropped(sentence: Sentence, number: int) -> Sentence:
    return replace(sentence, treated=sentence.treated + (DROPPED,) * number) if number else sentence


def _unknown(where: str, what: str, value: Any, dataset: Dataset) -> DataError:
    # In a file with other columns the value may be a word of the text.
    value = "" if dataset.private else f" {brief(value)}"
    return DataError(f"{where}: unknown {what}{value}; types are {shortened(', '.join(dataset.types))}")


# ------------------------------------------------------------------------ tokens with tags
def _read_conll(dataset: Dataset, flaws: Flaws, path: Path) -> Iterator[Sentence]:
    """Columns, among them token and tag, as `lines.sentences` has them."""
    meanings = plain_tags(list(dataset.types), dataset.scheme)
    scheme = plain(dataset.scheme)
    token, tag = (dataset.columns.index(name) for name in ("token", "tag"))
    about = dataset.columns.index(dataset.domain) if dataset.domain else None
    for document, numbers, rows in lines.sentences(path, dataset.separator, token, tag, dataset.columns):
        for number, row in zip(numbers, rows, strict=True):
            if row[tag] not in meanings:
                raise _unknown(f"{path}:{number}", "tag", row[tag], dataset)
            if not row[token].strip():
                flaws.add(f"{path}:{number}", "empty token")
        if kept := [row for row in rows if row[token].strip()]:
            tags = [meanings[row[tag]] for row in kept]
            spans, repaired = spans_from_tags(tags, scheme)
            domain = kept[-1][about] if about is not None else None  # the last token's, for they should agree
            tokens = tuple(row[token] for row in kept)
            yield Sentence("", document, tokens, tuple(spans), repaired, domain=domain)


_NAMES = {str, int, type(None)}  # of ids, documents and domains; True and False are of another type
_UNSTORABLE = re.compile("[\ud800-\udfff]")  # half of a surrogate pair


def _read_jsonl(dataset: Dataset, flaws: Flaws, path: Path) -> Iterator[Sentence]:
    """A JSON object a line: tokens, ner_tags (names, or places in the declared ``tags``), and optionally id,
    document and the field that names a domain (texts or integers). Blank lines are skipped."""
    names = plain_tags(list(dataset.types), dataset.scheme)
    meanings: dict[type, dict[Any, str]] = {str: names}
    if dataset.tags:
        meanings[int] = {place: names[name] for place, name in enumerate(dataset.tags)}
    scheme = plain(dataset.scheme)
    fields = [name for name in ("id", "document", dataset.domain) if name]
    ids: dict[str, int] = {}
    for number, line in lines.read(path):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            row = _DECODER.decode(line)
            tokens, tags = row["tokens"], row["ner_tags"]
        except (ValueError, RecursionError, KeyError, TypeError) as error:
            why = shortened(str(error), 100)
            raise DataError(f"{where}: expected an object with tokens and ner_tags ({why})") from None
        if not isinstance(tokens, list) or not isinstance(tags, list) or len(tokens) != len(tags):
            raise DataError(f"{where}: tokens and ner_tags must be lists of one length")
        if not {str}.issuperset(map(type, tokens)):
            raise DataError(f"{where}: tokens must be non-empty strings")
        tags = _names(tags, meanings, where, dataset)
        values = [row.get(name) for name in fields]
        if not _NAMES.issuperset(map(type, values)):
            raise DataError(f"{where}: {' and '.join(fields)} must be strings or integers")
        identity, document, *domains = ("" if value is None else str(value) for value in values)
        if "\\u" in line and _UNSTORABLE.search("".join([*tokens, identity, document, *domains])):
            flaws.add(where, "a lone surrogate, which is no character")
            continue
        if not tokens or not all(map(str.strip, tokens)):
            flaws.add(where, "tokens must be non-empty strings")
            tags = [tag for tag, token in zip(tags, tokens, strict=True) if token.strip()]
            tokens = [token for token in tokens if token.strip()]
            if not tokens:
                continue
        if identity and ids.setdefault(identity, number) != number:
            which = "" if dataset.private else f" {brief(identity)}"
            raise DataError(f"{where}: two sentences share an id{which}: see line {ids[identity]}")
        spans, repaired = spans_from_tags(tags, scheme)
        domain = (domains[0] or None) if domains else None
        yield Sentence(identity, document or None, tuple(tokens), tuple(spans), repaired, domain=domain)


def _names(tags: list[Any], meanings: dict[type, dict[Any, str]], where: str, dataset: Dataset) -> list[str]:
    """Tags of a JSON object as `tag_schemes.plain_tag` has them."""
    kind = type(tags[0]) if tags else str
    if kind is int and kind not in meanings:
        raise DataError(
            f"{where}: ner_tags are integers, and nothing says which tag each of them stands for: declare "
            "`tags:` in the corpus' file, the names in the order of their integers"
        )
    table = meanings.get(kind, {})
    if table and {kind}.issuperset(map(type, tags)):  # in a dictionary True is 1
        with contextlib.suppress(KeyError):
            return [table[tag] for tag in tags]
    tag = next(tag for tag in tags if not table or type(tag) is not kind or tag not in table)
    if kind is type(tag) is int:
        raise DataError(f"{where}: unknown tag {brief(tag)}; `tags` names 0 to {len(table) - 1}")
    raise _unknown(where, "tag", tag, dataset)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Python keeps the last of two equal keys without a word; here that is an error."""
    if len(found := dict(pairs)) < len(pairs):
        raise ValueError("a key stands twice")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


# ------------------------------------------------------------------- documents with offsets
_PASSAGE = re.compile(r"([^|\t]+)\|([ta])\|(.*)")
_OFFSET = re.compile(r"[0-9]{1,9}")
_Row = tuple[int, str, str, str, str, bool]  # line, start, end, text, type, whether its parts lie apart


def _read_pubtator(dataset: Dataset, flaws: Flaws, path: Path) -> Iterator[Sentence]:
    """Documents of ``id|t|title``, ``id|a|abstract``, mentions (id, start, end, text, type, and perhaps
    identifiers and the parts of a composite mention) and relations, which are skipped, as are blank lines."""
    filled = [(number, line) for number, line in lines.read(path) if line.strip()]
    heads = ((at, _PASSAGE.fullmatch(line)) for at, (_, line) in enumerate(filled))
    starts = [at for at, head in heads if head and head[2] == "t"]
    seen: set[str] = set()
    for start, end in pairwise(sorted({0, *starts, len(filled)})):
        (first, line), *rest = filled[start:end]
        heads = [_PASSAGE.fullmatch(text) for text in (line, rest[0][1] if rest else "")]
        if [head and head[2] for head in heads] != ["t", "a"] or heads[0][1] != heads[1][1]:
            raise DataError(f"{path}:{first}: expected id|t|title, and id|a|abstract below")
        document, rows = heads[0][1], []
        if document in seen:
            flaws.add(f"{path}:{first}", f"{_called(document, dataset)} stands twice")
            continue
        seen.add(document)
        for number, line in rest[1:]:
            cells = line.split("\t")
            if (
                len(cells) in (4, 5)
                and cells[1].replace("_", "").isalpha()
                and cells[-1] not in dataset.types
            ):
                continue  # a relation
            if len(cells) < 5 or cells[0] != document:
                wanted = "its id" if dataset.private else _short(document)
                raise DataError(f"{path}:{number}: expected {wanted}, start, end, text and type")
            rows.append((number, *cells[1:5], len(cells) > 6 and "|" in cells[6]))
        yield from _sentences(dataset, flaws, path, document, [head[3] for head in heads], rows)


def _read_biocreative(dataset: Dataset, flaws: Flaws, path: Path, annotations: Path) -> Iterator[Sentence]:
    """A file of id, title, abstract; and one of mentions: id, number, type, start, end, text."""
    documents: dict[str, list[str]] = {}
    for number, line in lines.read(path):
        if not line.strip():
            continue
        document, *passages = line.split("\t")
        wanted = "expected id, title and abstract of another document"
        if len(passages) != 2:
            raise DataError(f"{path}:{number}: {wanted}")
        if document in documents:
            flaws.add(f"{path}:{number}", f"{wanted}, {_called(document, dataset)} stands twice")
            continue
        documents[document] = passages
    rows: dict[str, list[_Row]] = {document: [] for document in documents}
    for number, line in lines.read(annotations):
        if not line.strip():
            continue
        cells = line.split("\t")
        if len(cells) != 6 or cells[0] not in documents:
            wanted = f"id of a document in {path.name}, number, type, start, end and text"
            raise DataError(f"{annotations}:{number}: expected {wanted}")
        document, _, kind, start, end, text = cells
        rows[document].append((number, start, end, text, kind, False))
    for document, passages in documents.items():
        yield from _sentences(dataset, flaws, annotations, document, passages, rows[document])


def _sentences(
    dataset: Dataset, flaws: Flaws, path: Path, document: str, passages: Sequence[str], rows: Sequence[_Row]
) -> Iterator[Sentence]:
    """The sentences of a document, the text of its mentions checked against its own."""
    whole, mentions = standoff.text_of(passages), []
    for line, start, end, text, kind, discontinuous in rows:
        where = f"{path}:{line}"
        if kind not in dataset.types:
            raise _unknown(where, "type", kind, dataset)
        numbers = _OFFSET.fullmatch(start) and _OFFSET.fullmatch(end)
        found = whole[int(start) : int(end)] if numbers else None
        if found is None or _normal(found) != _normal(text):
            texts = f": {brief(text)}, found {brief(found)} at {_short(start)}:{_short(end)}"
            texts = "" if dataset.private else texts
            flaws.add(where, f"the text of the mention does not stand at its offsets{texts}")
            continue
        mention = Mention(int(start), int(end), kind, line, discontinuous)
        if found.strip():
            mentions.append(mention)
        else:
            flaws.add(where, f"{_called(document, dataset)}: mention {mention} holds no token")
    try:
        pieces = standoff.cut(passages, mentions, dataset.overlaps)
    except ValueError as error:
        raise DataError(f"{path}: {_called(document, dataset)}: {error}") from None
    for piece in pieces:
        yield Sentence("", document, **piece._asdict())


def _called(document: str, dataset: Dataset) -> str:
    return "a document" if dataset.private else f"document {_short(document)}"  # an id may lead to a text


def _short(text: str) -> str:
    return visible(shortened(text, 80), keep="")


def _normal(text: str) -> str:
    """Text as it is compared: other code points of the same letters and other white space do not matter."""
    return " ".join(unicodedata.normalize("NFKC", text).split())
