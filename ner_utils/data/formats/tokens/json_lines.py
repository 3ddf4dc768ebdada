"""Files with a JSON object on each line, as the ``datasets`` library writes them."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ner_utils.config.dataset import Dataset, plain, plain_tags
from ner_utils.data.formats.lines import DataError, filled_lines, unknown
from ner_utils.data.sentence import Sentence
from ner_utils.data.spans import spans_from_tags
from ner_utils.messages import brief, shortened

_NAMES = {str, int, type(None)}  # types of ids, documents and domains; bool is another type
_SURROGATE = re.compile("[\ud800-\udfff]")  # one half of a pair, which UTF-8 cannot store


def read_json_lines(dataset: Dataset, flaws: list[str], path: Path) -> Iterator[Sentence]:
    """Read objects with ``tokens`` and ``ner_tags`` (names, or indices into the declared ``tags``).

    Optional keys are ``id``, ``document`` and the declared ``domain`` (strings or integers). Blank lines are
    skipped.
    """
    names = plain_tags(list(dataset.types), dataset.scheme)
    meanings: dict[type, dict[Any, str]] = {str: names}
    if dataset.tags:
        meanings[int] = {index: names[name] for index, name in enumerate(dataset.tags)}
    scheme = plain(dataset.scheme)
    keys = [key for key in ("id", "document", dataset.domain) if key]
    lines_of_ids: dict[str, int] = {}
    for number, line in filled_lines(path):
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
        tags = _plain_names(tags, meanings, where, dataset)
        values = [row.get(key) for key in keys]
        if not _NAMES.issuperset(map(type, values)):
            raise DataError(f"{where}: {' and '.join(keys)} must be strings or integers")
        identity, document, *domains = ("" if value is None else str(value) for value in values)
        if "\\u" in line and _SURROGATE.search("".join([*tokens, identity, document, *domains])):
            flaws.append(f"{where}: a lone surrogate, which is no character")
            continue
        if not tokens or not all(map(str.strip, tokens)):
            flaws.append(f"{where}: tokens must be non-empty strings")
            tags = [tag for tag, token in zip(tags, tokens, strict=True) if token.strip()]
            tokens = [token for token in tokens if token.strip()]
            if not tokens:
                continue
        if identity and lines_of_ids.setdefault(identity, number) != number:
            which = "" if dataset.private else f" {brief(identity)}"
            raise DataError(f"{where}: two sentences share an id{which}: see line {lines_of_ids[identity]}")
        spans, repaired = spans_from_tags(tags, scheme)
        domain = (domains[0] or None) if domains else None
        yield Sentence(identity, document or None, tuple(tokens), tuple(spans), repaired, domain=domain)


def _plain_names(
    tags: list[Any], meanings: dict[type, dict[Any, str]], where: str, dataset: Dataset
) -> list[str]:
    """The tags of a sentence, all names or all integers, as `dataset.plain_tag` writes them."""
    kind = type(tags[0]) if tags else str
    if kind is int and kind not in meanings:
        raise DataError(
            f"{where}: ner_tags are integers, and nothing says which tag each of them stands for: declare "
            "`tags:` in the corpus' file, the names in the order of their integers"
        )
    table = meanings.get(kind, {})
    if table and {kind}.issuperset(map(type, tags)):  # a dictionary does not distinguish True from 1
        with contextlib.suppress(KeyError):
            return [table[tag] for tag in tags]
    tag = next(tag for tag in tags if not table or type(tag) is not kind or tag not in table)
    if kind is type(tag) is int:
        raise DataError(f"{where}: unknown tag {brief(tag)}; `tags` names 0 to {len(table) - 1}")
    raise unknown(where, "tag", tag, dataset)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are distinct; Python would silently keep the last of two equal keys."""
    if len(values := dict(pairs)) < len(pairs):
        raise ValueError("a key occurs twice")
    return values


_DECODER = json.JSONDecoder(object_pairs_hook=_object)
