"""What notebooks show, as HTML: sentences with their mentions, tables, facts.

Corpora hold whatever people type, so that all text is escaped, control characters are written out
as code points, and every mention is isolated from the writing direction around it. Colours are Paul
Tol's light scheme (sronpersonalpages.nl/~pault), made for black text and colour-blind readers; what
a mention is, right or wrong, and of which type is always written beside it, too.
"""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from IPython.display import HTML

from ner_utils import messages
from ner_utils.data.corpus import Sentence
from ner_utils.data.spans import Span

COLOURS = ("#77AADD", "#EE8866", "#EEDD88", "#FFAABB", "#99DDFF", "#44BB99", "#BBCC33", "#AAAA00", "#DDDDDD")
BORDERS = {"": "1px solid", "missed": "2px dashed", "false alarm": "2px dotted"}
WITHHELD = "(the corpus is private: its text is not shown)"


def quote(text: str, private: bool) -> str:
    """Text of a corpus that cannot act on a terminal, with its line breaks; or what stands in its place where
    the corpus is private."""
    return WITHHELD if private else messages.visible(text)


def show_sentences(
    sentences: Sequence[Sentence],
    gold: Sequence[Iterable[Span]],
    predicted: Sequence[Iterable[Span]] | None = None,
    private: bool = False,
) -> HTML:
    """Sentences with coloured mentions, [sentences] spans each; nothing of a ``private`` corpus.

    With ``predicted``, a sentence on which both agree is shown once; any other twice, as gold with
    its misses (dashed) and as predicted with its false alarms (dotted). Raises `ValueError` where the
    arguments differ in length.
    """
    if private:
        return _page(WITHHELD)
    gold = [sorted(spans) for spans in gold]
    guesses = gold if predicted is None else [sorted(spans) for spans in predicted]
    kinds = sorted({span.type for spans in [*gold, *guesses] for span in spans})
    colours = {kind: COLOURS[index % len(COLOURS)] for index, kind in enumerate(kinds)}
    parts = []
    for sentence, right, said in zip(sentences, gold, guesses, strict=True):
        heads = ("", "") if predicted is None else ("gold", "predicted")
        if right == said:
            parts.append(_sentence(sentence, right, right, colours, "", " = ".join(filter(None, heads))))
        else:
            parts.append(_sentence(sentence, right, said, colours, "missed", heads[0]))
            parts.append(_sentence(sentence, said, right, colours, "false alarm", heads[1]))
    return _page("".join(parts))


def show_table(frame: pd.DataFrame, caption: str) -> HTML:
    """A table with its caption; an index is shown where it says something. Round numbers before."""
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index(allow_duplicates=True)
    head = "".join(f'<th scope="col" style="text-align:left">{_text(name)}</th>' for name in frame.columns)
    rows = [[frame.iloc[row, column] for column in range(frame.shape[1])] for row in range(len(frame))]
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return _page(f"<table><caption>{_text(caption)}</caption><tr>{head}</tr>{body}</table>")


def facts(mapping: Mapping[str, Any]) -> HTML:
    """A table of two columns, names and values."""
    rows = (
        f'<tr><th scope="row" style="text-align:left">{_text(name)}</th>{_cell(value, "left")}</tr>'
        for name, value in mapping.items()
    )
    return _page(f"<table>{''.join(rows)}</table>")


def _page(content: str) -> HTML:
    # Two dollar signs in a tweet are no formula: both classes keep MathJax out.
    return HTML(f'<div class="tex2jax_ignore mathjax_ignore">{content}</div>')


def _sentence(
    sentence: Sentence,
    spans: Sequence[Span],
    others: Sequence[Span],
    colours: Mapping[str, str],
    verdict: str,
    head: str,
) -> str:
    """One line; spans that are not among ``others`` get the verdict."""
    words = [_text(token) for token in sentence.tokens]
    for span in reversed(spans):
        judged = "" if span in others else verdict
        style = f"background:{colours[span.type]};color:#000;border:{BORDERS[judged]} #000;padding:0 .2em"
        label = f'<small dir="ltr"><b>{_text(span.type)}</b> {judged}</small>'
        text = " ".join(words[span.start : span.end])
        words[span.start : span.end] = [f'<mark style="{style}"><bdi>{text}</bdi> {label}</mark>']
    bidi = (unicodedata.bidirectional(char) for char in sentence.text)
    strong = next((kind for kind in bidi if kind in ("L", "R", "AL")), "L")
    direction = "ltr" if strong == "L" else "rtl"
    head = f"<small>{head}</small>" if head else ""
    return f'<div style="line-height:2">{head}<div dir="{direction}">{" ".join(words)}</div></div>'


def _cell(value: Any, side: str = "right") -> str:
    side = "left" if isinstance(value, str) else side
    return f'<td style="text-align:{side}">{_text(value)}</td>'


def _text(value: Any) -> str:
    """Escaped text of a value, with characters that act and are not seen as ``⟨U+202E⟩``."""
    if isinstance(value, Mapping):
        return ", ".join(f"{_text(key)} {_text(item)}" for key, item in value.items()) or "–"
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return "–"
    text = f"{value:.10g}" if isinstance(value, float) else str(value)
    return html.escape(messages.visible(text, keep=""))
