"""What notebooks show, as HTML: sentences with their mentions, tables, facts.

Corpora hold whatever people type, so that all text is escaped, control characters are written out
as code points, and every mention is isolated from the writing direction around it. The type of a mention,
and whether it is right, are always written next to it, so that colour adds nothing that is not in words.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from IPython.display import HTML

from ner_utils import messages
from ner_utils.config.dataset import Dataset
from ner_utils.data.corpus import Sentence
from ner_utils.data.spans import Span
from ner_utils.rendering.colours import type_colours

BORDERS = {"": "1px solid", "missed": "2px dashed", "false alarm": "2px dotted"}
WITHHELD = "(the corpus is private: its text is not shown)"
# Names of columns and settings whose meaning or unit a reader cannot guess.
WORDS = {
    "label_a": "system",
    "label_b": "compared with",
    "f1": "F1 (%)",
    "low": "95 % interval from",
    "high": "to",
    "p_holm": "p (Holm)",
    "smallest": "smallest detectable difference",
}


def words(key: Any) -> Any:
    """The name of a column or setting in words: ``train_sentences`` becomes ``train sentences``. What is no
    key of lower-case letters, digits, underscores and dots, such as a label, stays as it is."""
    if not isinstance(key, str) or not re.fullmatch(r"[a-z][a-z0-9_.]*", key):
        return key
    return WORDS.get(key) or re.sub(r"[_.]", " ", key)


def quote(text: str, private: bool) -> str:
    """Text of a corpus that cannot act on a terminal, with its line breaks; of a private corpus, a statement
    that its text is not shown."""
    return WITHHELD if private else messages.visible(text)


def show_sentences(
    dataset: Dataset, sentences: Sequence[Sentence], predicted: Sequence[Iterable[Span]] | None = None
) -> HTML:
    """Sentences of a corpus with their mentions in the colours of their types, below a legend; a statement
    in place of a private corpus.

    With ``predicted``, spans for each sentence, a sentence that is predicted as in gold is shown once; any
    other twice, as gold with its misses (dashed) and as predicted with its false alarms (dotted). Raises
    `ValueError` where the arguments differ in length.
    """
    if dataset.private:
        return _page(WITHHELD)
    gold = [sorted(sentence.spans) for sentence in sentences]
    answers = gold if predicted is None else [sorted(spans) for spans in predicted]
    present = {span.type for spans in [*gold, *answers] for span in spans}
    colours = type_colours(dataset)
    legend = (_mark(_text(dataset.types[kind]), kind, colours) for kind in colours if kind in present)
    parts = [f'<div style="line-height:2"><small>{" ".join(legend)}</small></div>']
    heads = ("", "") if predicted is None else ("gold", "predicted")
    for sentence, right, answer in zip(sentences, gold, answers, strict=True):
        if right == answer:
            parts.append(_sentence(sentence, right, right, colours, "", " = ".join(filter(None, heads))))
        else:
            parts.append(_sentence(sentence, right, answer, colours, "missed", heads[0]))
            parts.append(_sentence(sentence, answer, right, colours, "false alarm", heads[1]))
    return _page("".join(parts))


def show_table(frame: pd.DataFrame, caption: str) -> HTML:
    """A table with its caption and with columns named in `words`; an index that does not only count becomes
    a column. Round numbers before; p-values that are then 0 are shown as below 0.001."""
    counts = frame.index.name is None and pd.api.types.is_integer_dtype(frame.index)
    frame = frame.reset_index(drop=counts, allow_duplicates=not counts)
    for name in {"p", "p_holm"} & set(frame.columns):
        frame[name] = ["< 0.001" if p < 0.001 else f"{p:.3f}" for p in frame[name]]
    titles = (_text(words(name)) for name in frame.columns)
    head = "".join(f'<th scope="col" style="text-align:left">{title}</th>' for title in titles)
    rows = frame.itertuples(index=False, name=None)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return _page(f"<table><caption>{_text(caption)}</caption><tr>{head}</tr>{body}</table>")


def facts(mapping: Mapping[str, Any]) -> HTML:
    """A table of two columns, names in `words` and values."""
    rows = (
        f'<tr><th scope="row" style="text-align:left">{_text(words(name))}</th>{_cell(value, "left")}</tr>'
        for name, value in mapping.items()
    )
    return _page(f"<table>{''.join(rows)}</table>")


def _page(content: str) -> HTML:
    # Two dollar signs in a tweet are no formula: both classes keep MathJax out.
    return HTML(f'<div class="tex2jax_ignore mathjax_ignore">{content}</div>')


def _mark(text: str, kind: str, colours: Mapping[str, str], verdict: str = "") -> str:
    """Escaped text as a mention of a type, with the verdict on it."""
    style = f"background:{colours[kind]};color:#000;border:{BORDERS[verdict]} #000;padding:0 .2em"
    label = f'<small dir="ltr"><b>{_text(kind)}</b> {verdict}</small>'
    return f'<mark style="{style}"><bdi>{text}</bdi> {label}</mark>'


def _sentence(
    sentence: Sentence,
    spans: Sequence[Span],
    others: Sequence[Span],
    colours: Mapping[str, str],
    verdict: str,
    head: str,
) -> str:
    """One line; spans that are not among ``others`` get the verdict."""
    tokens = [_text(token) for token in sentence.tokens]
    for span in reversed(spans):
        text = " ".join(tokens[span.start : span.end])
        judged = "" if span in others else verdict
        tokens[span.start : span.end] = [_mark(text, span.type, colours, judged)]
    bidi = (unicodedata.bidirectional(char) for char in sentence.text)
    strong = next((kind for kind in bidi if kind in ("L", "R", "AL")), "L")
    direction = "ltr" if strong == "L" else "rtl"
    head = f"<small>{head}</small>" if head else ""
    return f'<div style="line-height:2">{head}<div dir="{direction}">{" ".join(tokens)}</div></div>'


def _cell(value: Any, side: str = "right") -> str:
    side = "left" if isinstance(value, str) else side
    return f'<td style="text-align:{side}">{_text(value)}</td>'


def _text(value: Any) -> str:
    """Escaped text of a value, with control characters that are not seen as ``⟨U+202E⟩``."""
    if isinstance(value, Mapping):
        return ", ".join(f"{_text(words(key))} {_text(item)}" for key, item in value.items()) or "–"
    if isinstance(value, list | tuple):
        separator = "; " if any(isinstance(each, list) for each in value) else ", "
        return separator.join(map(_text, value)) or "–"
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return "–"
    text = f"{value:.10g}" if isinstance(value, float) else str(value)
    return html.escape(messages.visible(text, keep=""))
