"""JSON with texts and mentions by offsets, as spaCy, Prodigy, doccano and Label Studio export it.

A file has JSON values, one after the other: records, lists of them, or objects with one such list. A record
is an object with a text, or a list of a text and an object (spaCy's training data). Its mentions are lists
``[start, end, type]`` or objects; offsets count code points, and ``end`` is exclusive. Label Studio's tasks
have their text in ``data`` and their mentions in annotations, of which `_counted` chooses one.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ner_utils.config.dataset import Dataset
from ner_utils.data.formats.lines import JSON, DataError, check_names, whole_text
from ner_utils.data.formats.offsets.standoff import Row, document_name, read_document
from ner_utils.data.sentence import Sentence
from ner_utils.messages import shortened

# The keys under which tools write the mentions of a record, and the parts of a mention.
MENTIONS = ("entities", "spans", "labels", "label", "annotations", "completions")
STARTS, ENDS = ("start", "start_offset", "begin"), ("end", "end_offset")
TYPES = ("label", "type", "labels", "entity", "tag")
TOKENS = "tokenized_text"  # of GLiNER
_SPACE = re.compile(r"[\s\ufeff]*")
# A list of records, and one in an object, as some tools export it.
_LIST = re.compile(r"\[(?=\s*(?:[\[{\]]|null))")
_LIST_INSIDE = re.compile(
    r'"annotations"\s*:\s*\[(?=\s*(?:\[|null))|"(?:examples|data)"\s*:\s*\[(?=\s*(?:[\[{]|null))'
)


def read_json_offsets(dataset: Dataset, flaws: list[str], path: Path) -> Iterator[Sentence]:
    """Read the records of a file. Raises `DataError` for a record of another form."""
    seen: set[str] = set()
    missing, there, field = dataset.declared, [], dataset.field("text")
    for index, (number, record) in enumerate(_records(path, field), 1):
        where = f"{path}:{number}"  # an array may be on one line
        try:
            record = _plain(record, dataset, where)
        except ValueError as error:
            flaws.append(f"{where}: {error}")
            continue
        there = list(record)
        missing -= set(there)
        text = record.get(field, record.get("data"))
        if not isinstance(text, str):
            names = shortened(", ".join(there))
            raise DataError(f"{where}: no text in the field {field}; there are {names}: declare `fields`")
        identity = record.get(dataset.field("id"))
        document = f"{path.name}:{index}" if identity is None else str(identity)
        if document in seen:
            flaws.append(f"{where}: {document_name(document, dataset)} occurs twice")
            continue
        seen.add(document)
        rows = (_row(mention, text, number, where, flaws) for mention in _mentions(record, dataset, where))
        yield from read_document(dataset, flaws, path, document, [text], list(filter(None, rows)))
    check_names(f"{path}", there and missing, there, dataset)


def _plain(record: Any, dataset: Dataset, where: str) -> dict[str, Any]:
    """A record of any tool as an object with a text and a list of mentions. Raises `ValueError` for one that
    nobody annotated, that somebody rejected, or of which annotations differ."""
    if record is None:
        raise ValueError("an empty record")
    if isinstance(record, list) and list(map(type, record)) == [str, dict]:
        return {dataset.field("text"): record[0], **record[1]}
    if not isinstance(record, dict):
        raise DataError(f"{where}: expected an object with a text and mentions")
    if (answer := record.get("answer")) in ("reject", "ignore"):  # Prodigy's
        raise ValueError(f"not annotated: its answer is {answer}")
    if TOKENS in record:
        return _with_offsets(record, dataset, where)
    if not isinstance(record.get("data"), dict):
        return record
    identity, made = dataset.field("id"), record.get("annotations", record.get("completions"))
    plain = {key: value for key, value in record["data"].items() if not isinstance(value, list)}
    if dataset.field("text") not in plain:
        return plain
    plain |= {identity: record[identity]} if identity in record else {}
    return plain | ({dataset.field("entities"): _counted(made)} if isinstance(made, list) else {})


def _counted(made: list[Any]) -> list[dict[str, Any]]:
    """The mentions of a task: of the ground truth, or else of the newest annotation. Raises `ValueError` if
    nobody submitted one, and if annotations by several people, or without times, differ."""
    kept = [each for each in made if isinstance(each, dict) and not each.get("was_cancelled")]
    kept = [each for each in kept if each.get("ground_truth")] or kept
    if not kept:
        raise ValueError("not annotated: nobody submitted an annotation")
    if not all(isinstance(each.get("result"), list) for each in kept):
        return kept  # mentions
    times = [str(each.get("updated_at") or each.get("created_at") or "") for each in kept]
    by_several = any(each.get("completed_by") != kept[0].get("completed_by") for each in kept)
    if (by_several or "" in times) and any(_regions(each) != _regions(kept[0]) for each in kept):
        raise ValueError("its annotations differ; expected one of them marked as ground truth")
    return _regions(kept[times.index(max(times))])


def _regions(annotation: dict[str, Any]) -> list[dict[str, Any]]:
    """The mentions of an annotation. Other results are choices, texts and ratings, some of a mention."""
    results = [each for each in annotation["result"] if isinstance(each, dict)]
    found = [each.get("value") for each in results if str(each.get("type", "labels")).endswith("labels")]
    regions = [value for value in found if isinstance(value, dict) and "start" in value]
    return sorted(regions, key=lambda value: str(value["start"]))


def _with_offsets(record: dict[str, Any], dataset: Dataset, where: str) -> dict[str, Any]:
    """A record of GLiNER, whose mentions are the first and the last token, as one with offsets."""
    tokens, mentions = record[TOKENS], record.get("ner")
    if not isinstance(tokens, list) or not {str}.issuperset(map(type, tokens)):
        raise DataError(f"{where}: {TOKENS} must be strings")
    if not isinstance(mentions, list):
        raise DataError(f"{where}: no mentions; expected a list under ner")
    begins = [0, *itertools.accumulate(len(token) + 1 for token in tokens)]
    made = []
    for mention in mentions:
        if not isinstance(mention, list) or [type(part) for part in mention] != [int, int, str]:
            raise DataError(f"{where}: expected a mention as [first token, last token, type]")
        first, last, kind = mention
        inside = 0 <= first <= last < len(tokens)
        made.append([begins[first], begins[last + 1] - 1, kind] if inside else [-1, -1, kind])
    return record | {dataset.field("text"): " ".join(tokens), dataset.field("entities"): made}


def _records(path: Path, field: str) -> Iterator[tuple[int, Any]]:
    """The records of a file with the lines on which they begin."""
    text = whole_text(path)
    at, before, number = 0, 0, 1
    inside, resume = False, 0  # of a list, and where the object ends that holds it
    while (at := _SPACE.match(text, at).end()) < len(text) or inside:
        number, before = number + text.count("\n", before, at), at
        if inside and text[at : at + 1] == "]":
            if _LIST_INSIDE.search(text, at, resume):
                raise DataError(f"{path}:{number}: expected one list of records in an object, found another")
            inside, at = False, max(at + 1, resume)
            continue
        if not inside and _LIST.match(text, at):
            inside, at, resume = True, at + 1, 0
            continue
        try:
            value, end = JSON.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            why = shortened(str(error), 100)
            raise DataError(f"{path}:{number}: expected a JSON value ({why})") from None
        is_record = not isinstance(value, dict) or field in value or TOKENS in value
        is_record = is_record or isinstance(value.get("data"), dict)
        if not inside and not is_record and (found := _LIST_INSIDE.search(text, at, end)):
            inside, at, resume = True, found.end(), end
            continue
        yield number, value
        at = _SPACE.match(text, end).end()
        if inside and text[at : at + 1] not in (",", "]"):
            number += text.count("\n", before, at)
            raise DataError(f"{path}:{number}: no JSON (expected , or ])")
        at += inside and text[at] == ","


def _mentions(record: dict[str, Any], dataset: Dataset, where: str) -> list[Any]:
    """The mentions of a record. None are an empty list, so that a record without the key is refused."""
    keys = [dataset.field("entities")] if "entities" in dataset.fields else MENTIONS
    lists = {key: record[key] for key in keys if isinstance(record.get(key), list)}
    filled = [key for key, each in lists.items() if each and isinstance(each[0], (list, dict))]
    if len(filled) > 1:
        raise DataError(f"{where}: mentions in two fields, {filled[0]} and {filled[1]}: declare `fields`")
    if lists:
        return lists[[*filled, *lists][0]]
    # Prodigy, and Label Studio in its short form, leave the key out where there is no mention.
    sure = "entities" in dataset.fields or list not in map(type, record.values())
    if "answer" in record or ("annotation_id" in record and sure):
        return []
    expected, there = ", ".join(keys), shortened(", ".join(record))
    advice = "declare `fields: {entities: ...}`"
    raise DataError(f"{where}: no mentions; expected a list under {expected}; there are {there}: {advice}")


def _row(mention: Any, text: str, number: int, where: str, flaws: list[str]) -> Row | None:
    """A mention as `standoff` takes it; its text is that at its offsets, unless the file states one. None for
    offsets outside of the text, which are a flaw."""
    expected = "expected a mention as [start, end, type], or an object with start, end and label"
    if isinstance(mention, list) and len(mention) == 3:
        start, end, kind = mention
        stated = None
    elif isinstance(mention, dict):
        names = (next(filter(mention.__contains__, keys), None) for keys in (STARTS, ENDS, TYPES))
        start, end, kind = map(mention.get, names)
        stated = mention.get("text")
    else:
        raise DataError(f"{where}: {expected}")
    if isinstance(kind, list) and len(kind) == 1:
        (kind,) = kind
    if type(start) is not int or type(end) is not int or not isinstance(kind, str):
        raise DataError(f"{where}: {expected}")
    if not 0 <= start < end <= len(text):
        flaws.append(f"{where}: a mention from {start} to {end} in a text of {len(text)} characters")
        return None
    covered = text[start:end]
    return Row(number, str(start), str(end), stated if isinstance(stated, str) else covered, kind)
