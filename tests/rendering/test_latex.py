"""LaTeX out of hostile text, numbers and tables; typeset where LaTeX is at hand."""

import os
import shutil
import subprocess

import pytest

from ner_utils import paths
from ner_utils.rendering import latex
from ner_utils.rendering.latex import Column, Raw

HOSTILE = [
    r"\input{/etc/passwd}",
    "100% #1 & a_b $x$ {y} ~z^2",
    "[first] *cell",
    "<<a>> --- ,, ''b''",
    "Kraków naïve Çeşme",
    "several\nwords\tin\x00one line",
]


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a_b & 5 %", r"a\_b \& 5 \%"),
        ("\\{}", r"\textbackslash{}\{\}"),
        ("#$~^`", r"\#\$\textasciitilde{}\textasciicircum{}\textasciigrave{}"),
        ("[x]*", "{[}x{]}{*}"),
        ("a---b", "a-{}-{}-b"),
        ("zero-shot", "zero-shot"),
        ("Krako\u0301w", "Kraków"),
        ("a\nb\u2028c\x07", "a b c"),
        ("a\u202eb\u200bc\ud800", "abc"),
        (12, "12"),
        (Raw(r"\Fone"), r"\Fone"),
    ],
)
def test_escape(text, escaped):
    assert latex.escape(text) == escaped


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (1234567, 0, "1,234,567"),
        (-1.25, 1, "$-$1.2"),
        (-0.01, 1, "0.0"),
        (99.95, 1, "100.0"),
        (float("nan"), 1, "--"),
    ],
)
def test_numbers(value, digits, text):
    assert latex.number(value, digits) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.00481, "0.0048"), (0.0996, "0.100"), (1.25, "1.2"), (9.61, "9.6"), (1431.0, "1,431")],
)
def test_significant_figures(value, text):
    assert latex.significant(value) == text


def test_p_values():
    assert [latex.p_value(p) for p in (0.0005, 0.0123, 1.0)] == [r"$<$\,0.001", "0.012", "1.000"]


def test_a_long_table_repeats_its_head():
    text = latex.tabular([Column("System")], [["x"], ["y"]], long=True)
    assert text.startswith(r"\begin{longtable}{@{}l@{}}")
    assert text.count(r"System \\") == 2
    assert text.index(r"\longcaption") < text.index(r"\endfirsthead") < text.index(r"\endhead")
    assert text.index(r"\bottomrule") < text.index(r"\endfoot") < text.index("x")


def test_tabular():
    columns = [Column("System"), Column("P", 1, over="Scores"), Column("R", 1, over="Scores")]
    text = latex.tabular(columns, ["A_corpus", ["x & y", 1234.56, None], ["z", -2.0, float("nan")]])
    assert r"\begin{tabular}{@{}lS[table-format=-4.1]S[table-format=1.1]@{}}" in text
    assert r"\multicolumn{1}{c}{} & \multicolumn{2}{c}{Scores} \\" in text
    assert r"\cmidrule(lr){2-3}" in text
    assert r"\multicolumn{3}{@{}l@{}}{\itshape A\_corpus} \\" in text
    assert r"x \& y & 1234.6 & {--} \\" in text
    assert r"z & -2.0 & {--} \\" in text


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("pdflatex") or not shutil.which("pdftotext"), reason="needs LaTeX")
def test_what_was_typed_is_what_is_printed(tmp_path):
    """In text, tables, titles, captions and prompts; what the fonts do not hold becomes its code point."""
    kinds = ["ОРГ", "护栏", "😀", "قلعة", "Łódź"]
    text = " ".join(kinds)
    rows = [[each, 1.5] for each in (*HOSTILE, text)]
    lines = [r"\documentclass{scrreprt}", r"\usepackage{style}", r"\begin{document}"]
    lines += [
        r"\tableofcontents",
        rf"\chapter{{{latex.escape(text)}}}",
        rf"\paragraph{{{latex.escape(text)}}}",
    ]
    lines += [latex.tabular([Column("Text"), Column("Number", 1)], [*rows, "[heading] *"])]
    lines += [rf"\begin{{table}}\caption{{{latex.escape(text)}}}\end{{table}}", latex.narrow(text)]
    lines += [r"\begin{prompt}", text, r"\end{prompt}", rf"\defresult{{a.{text}}}{{{latex.escape(text)}}}"]
    lines += [rf"\result{{a.{text}}}", r"\end{document}"]
    (tmp_path / "all.tex").write_text("\n".join(lines), encoding="utf-8")
    for _ in range(2):  # the second time with the titles of the first
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
        places = os.environ | {"TEXINPUTS": f"{paths.THESIS}:"}
        done = subprocess.run(command, cwd=tmp_path, env=places, capture_output=True)
        assert done.returncode == 0, done.stdout[-2000:]
    printed = subprocess.check_output(["pdftotext", "-layout", tmp_path / "all.pdf", "-"], text=True)
    for character in "".join(kinds[:4]):
        assert printed.count(f"U+{ord(character):04X}") >= 7
    assert printed.count("Łódź") >= 7
    shown = [line.strip().removesuffix("1.5").strip() for line in printed.splitlines()]
    expected = [" ".join(each.replace("\x00", " ").split()).replace("'", "’") for each in HOSTILE]
    assert [line for line in shown if line in expected] == expected
    assert "[heading] *" in shown


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (38.33, 45.84, "38.3 to 45.8"),
        (-1.2, 0.04, "$-$1.2 to 0.0"),
        (0, 0.03, "0.00 to 0.03"),
        (99.96, 100, "99.96 to 100.00"),
        (0, 0, "0.0 to 0.0"),
        (0, 1e-9, "0.0000 to 0.0000"),
        (float("nan"), float("nan"), "--"),
    ],
)
def test_different_ends_of_an_interval_are_printed_differently(low, high, text):
    assert latex.interval(low, high) == text
