"""The explorer in a notebook."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anywidget

from ner_utils import messages
from ner_utils.explorer.ask import ask
from ner_utils.explorer.mentions import StudyMentions, load_mentions
from ner_utils.explorer.view import filters, view_of

FOLDER = Path(__file__).parent


class Explorer(anywidget.AnyWidget):
    """The widget. The sentences go to the browser as a message, so that they are not saved in a notebook."""

    _esm = FOLDER / "explorer.js"
    _css = FOLDER / "explorer.css"

    def __init__(self, seen: StudyMentions, start: dict[str, Any], **asked: Any) -> None:
        super().__init__()
        self._seen, self._start, self._asked = seen, start, asked
        self.on_msg(self._receive)

    @functools.cached_property
    def _data(self) -> dict[str, Any]:
        return view_of(self._seen)

    def _receive(self, _: Any, content: dict[str, Any], __: Any) -> None:
        if content["kind"] == "data":
            self.send({"kind": "data", "data": self._data, "start": self._start, "asks": True})
        elif content["kind"] == "ask":
            self.send({"kind": "answer", "number": content["number"], **self._answer(content)})

    def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        types = [name.strip() for name in question["types"].split(",") if name.strip()]
        try:
            rows = ask(question["text"], dataset=self._seen.dataset, types=types, **self._asked)
        except (Exception, KeyboardInterrupt) as error:  # whatever it is, the page waits for an answer
            return {"error": messages.few_lines(f"{type(error).__name__}: {error}")}
        return {"rows": [_shown(row) for row in rows.to_dict("records")]}


def _shown(row: dict[str, Any]) -> dict[str, str]:
    """An answer of a system in words, without characters that act."""
    spans = [
        f"{words} ({kind})" if confidence is None else f"{words} ({kind}, {100 * confidence:.0f} %)"
        for words, kind, confidence in row["spans"]
    ]
    texts = row | {
        "spans": "; ".join(spans) or "nothing",
        "milliseconds": round(row["milliseconds"]),
        "answer": row["answer"] or "",
    }
    return {name: messages.visible(str(value)) for name, value in texts.items()}


def explore(
    study: str,
    systems: Sequence[str] = (),
    *,
    dataset: str | None = None,
    seed: int | None = None,
    **wanted: Any,
) -> Explorer:
    """A widget that shows the test sentences of a study with what its systems predicted. The first two of the
    ``systems`` (default: all) are compared. ``wanted`` chooses among `facets`, as ``type="PER", a="correct"``
    and ``b="boundary"``, where ``a`` and ``b`` are the outcomes of the two.

    Raises what `filters` and `load_mentions` raise.
    """
    seen = load_mentions(study, dataset, systems, seed)
    return Explorer(seen, filters(seen, wanted), study=study, seed=seed)
