"""Rows with tokens and tags, as the ``datasets`` library has them: what JSON lines and Parquet share."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from ner_utils.config.dataset import Dataset, plain, plain_tags
from ner_utils.data.formats.lines import SURROGATE, DataError, unknown
from ner_utils.data.sentence import Sentence
from ner_utils.data.spans import spans_from_tags
from ner_utils.messages import brief

_NAMES = {str, int, type(None)}  # types of ids, documents and domains; bool is another type


class RowReader:
    """Turns the rows of a file into sentences.

    A row has tokens and tags (names, or integers that stand for ``tags``, which the file states or the corpus
    declares), and optionally an id, a document and a domain; `Dataset.fields` says which fields they are.
    """

    def __init__(self, dataset: Dataset, flaws: list[str]) -> None:
        self.dataset, self.flaws = dataset, flaws
        names = plain_tags(list(dataset.types), dataset.scheme)
        self.meanings: dict[type, dict[Any, str]] = {str: names}
        self.name_integers(dataset.tags, "tags")
        self.scheme = plain(dataset.scheme)
        field = dataset.field
        self.tokens, self.tags = field("tokens"), field("ner_tags")
        self.keys = [key for key in (field("id"), field("document"), dataset.domain) if key]
        self.places: dict[str, str] = {}  # of ids

    def name_integers(self, tags: Sequence[str], where: str) -> None:
        """Read integers as places in this list of tags, if it has any. Raises `UnknownType`."""
        names = self.meanings[str]
        for tag in tags:
            if tag not in names:
                raise unknown(where, "tag", tag, self.dataset)
        self.meanings[int] = {index: names[name] for index, name in enumerate(tags)}

    def sentence(self, row: dict[str, Any], where: str) -> Sentence | None:
        """The sentence of a row; None for a flaw that leaves none. ``where`` names the row in messages.

        Raises `DataError` for a row of another form, an unknown tag or an id that occurs twice.
        """
        tokens, tags = row[self.tokens], row[self.tags]
        if not isinstance(tokens, list) or not isinstance(tags, list) or len(tokens) != len(tags):
            raise DataError(f"{where}: {self.tokens} and {self.tags} must be lists of one length")
        if not {str}.issuperset(map(type, tokens)):
            raise DataError(f"{where}: {self.tokens} must be non-empty strings")
        tags = self._plain_names(tags, where)
        values = [row.get(key) for key in self.keys]
        if not _NAMES.issuperset(map(type, values)):
            raise DataError(f"{where}: {' and '.join(self.keys)} must be strings or integers")
        identity, document, *domains = ("" if value is None else str(value) for value in values)
        if SURROGATE.search("".join([*tokens, identity, document, *domains])):
            self.flaws.append(f"{where}: a lone surrogate, which is no character")
            return None
        if not tokens or not all(map(str.strip, tokens)):
            self.flaws.append(f"{where}: {self.tokens} must be non-empty strings")
            tags = [tag for tag, token in zip(tags, tokens, strict=True) if token.strip()]
            tokens = [token for token in tokens if token.strip()]
            if not tokens:
                return None
        if identity and self.places.setdefault(identity, where) != where:
            which = "" if self.dataset.private else f" {brief(identity)}"
            raise DataError(f"{where}: two sentences share an id{which}: see {self.places[identity]}")
        spans, repaired = spans_from_tags(tags, self.scheme)
        domain = (domains[0] or None) if domains else None
        return Sentence(identity, document or None, tuple(tokens), tuple(spans), repaired, domain=domain)

    def _plain_names(self, tags: list[Any], where: str) -> list[str]:
        """The tags of a sentence, all names or all integers, as `dataset.plain_tag` writes them."""
        kind = type(tags[0]) if tags else str
        if kind is int and not self.meanings[int]:
            raise DataError(
                f"{where}: {self.tags} are integers, and nothing says which tag each of them stands for: "
                "declare `tags:` in the corpus' file, the names in the order of their integers"
            )
        table = self.meanings.get(kind, {})
        if table and {kind}.issuperset(map(type, tags)):  # a dictionary does not distinguish True from 1
            with contextlib.suppress(KeyError):
                return [table[tag] for tag in tags]
        tag = next(tag for tag in tags if not table or type(tag) is not kind or tag not in table)
        if kind is type(tag) is int:
            raise DataError(f"{where}: unknown tag {brief(tag)}; `tags` names 0 to {len(table) - 1}")
        raise unknown(where, "tag", tag, self.dataset)
