"""LaTeX, written by code: escaped text, numbers and tabulars."""

from __future__ import annotations

import itertools
import math
import re
import textwrap
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "`": r"\textasciigrave{}",
    # At the beginning of a table's row, these would be read as an argument of the \\ before it.
    **{character: f"{{{character}}}" for character in "[]*"},
    **{character: f"\\{character}" for character in "{}#%&_$"},
}
_LIGATURES = re.compile(r"([-,'<>])(?=\1)")  # -- would print as a dash, << as a quotation mark


class Raw(str):
    """Text that is LaTeX already."""


class Column(NamedTuple):
    """A column of a table: its title (LaTeX), and how its cells are set.

    ``digits`` are those after the point of numbers, which are aligned at it; ``None`` means text, set
    by ``layout`` as LaTeX names it (l, r, p{8cm}). Neighbours with the same ``over`` share a title.
    """

    title: str
    digits: int | None = None
    layout: str = "l"
    over: str = ""


def escape(text: object) -> str:
    """Any text as LaTeX that prints it. Control characters become spaces; other Unicode is kept."""
    if isinstance(text, Raw):
        return text
    kept = []
    for character in unicodedata.normalize("NFC", str(text)):
        category = unicodedata.category(character)
        if category in ("Cc", "Zl", "Zp"):
            kept.append(" ")
        elif category not in ("Cf", "Cs", "Cn"):  # invisible marks, surrogates: nothing to print
            kept.append(_ESCAPES.get(character, character))
    return _LIGATURES.sub(r"\1{}", " ".join("".join(kept).split()))


def number(value: float, digits: int = 0) -> str:
    """A number for running text: groups of three, a true minus, a dash where there is none."""
    text = _plain(value, digits, ",") if math.isfinite(value) else "--"
    return re.sub(r"^-(?=\d)", "$-$", text)


def significant(value: float) -> str:
    """A number of any size for running text, with two significant figures."""
    size = math.floor(math.log10(abs(value))) if value else 1
    return number(value, max(0, 1 - size))


def percent(value: float) -> str:
    """A percentage for running text; ``value`` is in percent already."""
    return rf"{number(value, 1)}\,\%"


def p_value(value: float) -> Raw:
    """A p-value, with three digits."""
    return Raw(r"$<$\,0.001" if value < 0.001 else number(value, 3))


def ends(low: float, high: float, digits: int = 1) -> tuple[str, str]:
    """The ends of an interval for running text, with more digits (up to 4) where rounding would make them
    equal."""
    while digits < 4 and low < high and number(low, digits) == number(high, digits):
        digits += 1
    return number(low, digits), number(high, digits)


def interval(low: float, high: float, digits: int = 1) -> Raw:
    """An interval, or a dash where it has no ends."""
    return Raw(" to ".join(ends(low, high, digits)) if math.isfinite(low) and math.isfinite(high) else "--")


MANY = 6  # systems whose labels fit side by side, at most


def listed(parts: list[str]) -> str:
    """Words in a list: a, b and c."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def narrow(label: str, width: int = 16) -> Raw:
    """A long title, in lines of so many characters."""
    lines = [escape(line) for line in textwrap.wrap(label, width, break_on_hyphens=False)]
    return Raw(r"\shortstack{" + r"\\".join(lines) + "}")


def _plain(value: float, digits: int, group: str = "") -> str:
    text = f"{value:{group}.{digits}f}"
    return text.lstrip("-") if float(text.replace(",", "")) == 0 else text


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


# ---------------------------------------------------------------------------- tables
def of_systems(labels: Collection[str], digits: int) -> list[Column]:
    """A column for each system, with its label as title, turned where labels would not fit the width."""
    if len(labels) <= MANY:
        return [Column(narrow(label), digits) for label in labels]
    return [Column(rf"\rotatebox{{90}}{{{narrow(label, 24)}}}", digits) for label in labels]


def tabular(columns: Iterable[Column], rows: Iterable[Sequence | str], long: bool = False) -> str:
    """A booktabs tabular. A row is a sequence of cells, or a heading that spans all columns.

    Cells are escaped unless `Raw`. ``None`` and NaN become dashes. A ``long`` table may continue on the next
    page; the thesis defines its caption as ``\\longcaption``.
    """
    columns, rows = list(columns), list(rows)
    cells = [row for row in rows if not isinstance(row, str)]
    between = "" if len(columns) < 9 else r"@{\hskip 0.8em}"  # wide tables are shrunk to the text
    layout = between.join(_layout(column, [row[i] for row in cells]) for i, column in enumerate(columns))
    titles = [f"{{{column.title}}}" if column.digits is not None else column.title for column in columns]
    head = [r"\toprule", *_over(columns)]
    head += [_row(titles), r"\midrule"] if any(column.title for column in columns) else []
    foot, kind = [r"\bottomrule"], "tabular"
    if long:  # what stands above the first part, above the others, and below each
        head = [r"\longcaption \\", *head, r"\endfirsthead", *head, r"\endhead", *foot, r"\endfoot"]
        foot, kind = [], "longtable"
    lines = [rf"\begin{{{kind}}}{{@{{}}{layout}@{{}}}}", *head]
    for index, row in enumerate(rows):
        if isinstance(row, str):
            lines += [r"\addlinespace"] if index else []
            heading = rf"\multicolumn{{{len(columns)}}}{{@{{}}l@{{}}}}{{\itshape {escape(row)}}}"
            lines.append(_row([heading]) + "*" * long)  # no page ends below it
        else:
            lines.append(_row([_cell(*pair) for pair in zip(columns, row, strict=True)]))
    return "\n".join([*lines, *foot, rf"\end{{{kind}}}"]) + "\n"


def by_corpus(parts: Mapping[str, Iterable[Sequence | str]]) -> Iterator[Sequence | str]:
    """The rows of each corpus under its label; a single corpus needs no heading."""
    for label, rows in parts.items():
        if len(parts) > 1:
            yield label
        yield from rows


def blocks(frame: pd.DataFrame, row: Callable[[dict], Sequence]) -> Iterator[Sequence | str]:
    """The rows of a frame, `by_corpus`."""
    parts = frame.groupby("corpus", sort=False)
    return by_corpus({label: map(row, block.to_dict("records")) for label, block in parts})


def crossed(
    frame: pd.DataFrame, down: str, across: str, cells: Callable[[dict], Sequence], sort: bool = False
) -> Iterator[Sequence | str]:
    """A row for each value of the column ``down``, in their order or sorted, with the cells of each value of
    ``across`` side by side, dashes where there are none; `by_corpus`."""
    names, none = list(dict.fromkeys(frame[across])), [None] * len(cells(frame.iloc[0].to_dict()))

    def rows(block: pd.DataFrame) -> Iterator[Sequence]:
        for value, lines in block.groupby(down, sort=sort):
            by_name = {line[across]: cells(line) for line in lines.to_dict("records")}
            yield [value, *itertools.chain(*(by_name.get(name, none) for name in names))]

    return by_corpus({corpus: rows(block) for corpus, block in frame.groupby("corpus", sort=False)})


def statement(text: str, long: bool = False) -> str:
    """A table of one text, for a study that has nothing to tabulate."""
    return tabular([Column("", layout=r"p{\linewidth}" if long else "l")], [[text]], long)


def _over(columns: Sequence[Column]) -> list[str]:
    """The line of shared titles, and the rules below them."""
    cells, rules, at = [], [], 1
    for over, group in itertools.groupby(columns, key=lambda column: column.over):
        size = len(list(group))
        cells.append(rf"\multicolumn{{{size}}}{{c}}{{{over}}}")
        rules += [rf"\cmidrule(lr){{{at}-{at + size - 1}}}"] if over else []
        at += size
    return [_row(cells), "".join(rules)] if rules else []


def _layout(column: Column, values: Sequence) -> str:
    if column.digits is None:
        return (r">{\raggedright\arraybackslash}" if column.layout.startswith("p") else "") + column.layout
    texts = [_plain(value, column.digits) for value in values if _is_number(value)] or ["0"]
    whole = max(len(text.split(".")[0].lstrip("-")) for text in texts)
    sign = "-" if any(text.startswith("-") for text in texts) else ""
    return f"S[table-format={sign}{whole}.{column.digits}]"


def _cell(column: Column, value: object) -> str:
    if column.digits is None:
        return "--" if value is None else escape(value)
    return _plain(value, column.digits) if _is_number(value) else "{--}"


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"
