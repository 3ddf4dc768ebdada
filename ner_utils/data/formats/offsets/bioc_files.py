"""BioC, as XML or JSON: documents of passages with their offsets, and annotations with locations."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ner_utils.config.dataset import Dataset
from ner_utils.data.formats.lines import JSON, DataError, whole_text
from ner_utils.data.formats.offsets.standoff import Row, document_name, read_document, row_of
from ner_utils.data.sentence import Sentence
from ner_utils.messages import shortened

if TYPE_CHECKING:
    from bioc import BioCAnnotation, BioCDocument


def read_bioc(dataset: Dataset, flaws: list[str], *paths: Path) -> Iterator[Sentence]:
    """Read all documents. The type of an annotation is its infon ``type``; relations are skipped. Raises
    `DataError` for a file that is no BioC, and for passages that overlap."""
    seen: set[str] = set()
    for path in paths:
        for index, document in enumerate(_documents(path), 1):
            identity = f"{path.name}:{index}" if document.id in (None, "") else str(document.id)
            name = document_name(identity, dataset)
            if identity in seen:
                flaws.append(f"{path}: {name} occurs twice")
                continue
            seen.add(identity)
            passages = _passages(path, name, document)
            text = " ".join(passages)
            numbered = enumerate(_annotations(document), 1)
            rows = [_row(path, name, number, each, text) for number, each in numbered]
            yield from read_document(dataset, flaws, path, identity, passages, rows)


def _documents(path: Path) -> list[BioCDocument]:
    """The documents of a collection, or of a list of collections or documents in JSON."""
    from bioc import biocxml  # late: few corpora need them
    from bioc.biocjson.decoder import parse_doc
    from lxml import etree

    text = whole_text(path)
    try:
        if text.lstrip()[:1] in ("{", "["):
            value = JSON.decode(text)
            parts = value if isinstance(value, list) else [value]
            inside = (part.get("documents") or part.get("PubTator3") or [part] for part in parts)
            return [parse_doc(_complete(each, "documents")) for each in itertools.chain(*inside)]
        tree = etree.fromstring(text.encode())
        if tree.tag != "collection":
            raise ValueError(f"expected a collection, found {tree.tag}")
        for annotation in tree.iter("annotation"):
            annotation.set("id", annotation.get("id", ""))  # which the library expects
        return biocxml.loads(etree.tostring(tree, encoding="unicode")).documents
    except (etree.XMLSyntaxError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = f"{'lacks ' if isinstance(error, KeyError) else ''}{shortened(str(error), 100)}"
        raise DataError(f"{path}: no BioC ({why})") from None


# Of a part in JSON, the parts that it contains, and the kinds of values.
_INSIDE = {
    "documents": ("passages", "annotations"),
    "passages": ("sentences", "annotations"),
    "sentences": ("annotations",),
    "annotations": ("locations",),
    "locations": (),
}
_KINDS = {"offset": int, "length": int, "text": str, "infons": dict}


def _complete(values: dict[str, Any], key: str) -> dict[str, Any]:
    """A part in JSON with what publishers leave out (BioRED, PubTator 3) and the library expects; without
    relations, which are not read. Raises `KeyError` for a document without passages, and `TypeError` for a
    value of another kind."""
    values = {name: value for name, value in values.items() if value is not None}
    if key == "documents" and "passages" not in values:
        raise KeyError("passages")
    for name, kind in _KINDS.items():
        if name in values and type(values[name]) is not kind:
            raise TypeError(f"{name}: expected {kind.__name__}, found {type(values[name]).__name__}")
    inside = {each: [_complete(part, each) for part in values.get(each, ())] for each in _INSIDE[key]}
    return {"id": "", "infons": {}, "text": None} | values | {"relations": []} | inside


def _passages(path: Path, name: str, document: BioCDocument) -> list[str]:
    """The texts of a document's passages; joined by one character, each begins at its offset. A passage
    without a text has that of its sentences."""
    parts: list[str] = []
    length = -1  # of the parts, joined
    for passage in sorted(document.passages, key=lambda each: each.offset):
        nodes = [passage] if passage.text or not passage.sentences else passage.sentences
        for node in nodes:
            gap = node.offset - length
            if node.text is None:
                continue
            if gap < 0:
                raise DataError(f"{path}: {name}: the passage at {node.offset} overlaps the one before it")
            if gap == 0:  # no character between the two
                parts[-1] += node.text
            elif parts:
                parts[-1] += " " * (gap - 1)
                parts.append(node.text)
            else:
                parts.append(" " * node.offset + node.text)
            length = node.offset + len(node.text)
    return parts


def _annotations(document: BioCDocument) -> Iterator[BioCAnnotation]:
    """The annotations of a document, wherever they stand."""
    yield from document.annotations
    for passage in document.passages:
        yield from passage.annotations
        for sentence in passage.sentences:
            yield from sentence.annotations


def _row(path: Path, name: str, number: int, annotation: BioCAnnotation, text: str) -> Row:
    kind, parts = annotation.infons.get("type"), [(each.offset, each.end) for each in annotation.locations]
    if not isinstance(kind, str) or not parts:
        raise DataError(f"{path}: {name}: annotation {number} has no location, or no text as infon type")
    return row_of(f"annotation {number} of {name}", parts, annotation.text, kind, text)
