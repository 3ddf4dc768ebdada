"""How do the findings of a thesis read outside of LaTeX?"""

from __future__ import annotations

import re

from pylatexenc.latex2text import LatexNodes2Text, MacroTextSpec
from pylatexenc.latex2text import get_default_latex_context_db as default_texts
from pylatexenc.latexwalker import LatexWalker
from pylatexenc.latexwalker import get_default_latex_context_db as default_macros
from pylatexenc.macrospec import MacroSpec

from ner_utils import paths
from ner_utils.results.study import Results
from ner_utils.thesis import claims, numbers
from ner_utils.thesis.leads import leads

MACROS = {"result": "{", "claim": "{{", "method": "{", "deflead": "{{", "Fone": "", "cref": "{", "code": "{"}


def findings(results: Results) -> dict[str, str]:
    """The findings of a study by section, the abstract and the conclusion among them, as plain text: the text
    of thesis/leads/<study>.tex where there is one, else the generated one; that of a companion study begins
    with its title. Raises `ClaimError` for a claim that does not hold."""
    texts, written = leads(results), paths.THESIS / "leads" / f"{results.name}.tex"
    if written.is_file():
        texts |= _defined(written.read_text(encoding="utf-8"))
    for name in texts:
        if (title := f"study.{name}.title") in numbers.result_numbers(results):
            texts[name] = rf"Companion study ‘\result{{{title}}}’: {texts[name]}"
    return {name: plain(text, results) for name, text in texts.items()}


def plain(text: str, results: Results) -> str:
    """Text of the thesis without LaTeX. Raises `ClaimError` for a claim that does not hold."""
    by_key, values = numbers.result_numbers(results), numbers.result_values(results)
    context = default_texts()

    def argument(node, at: int) -> str:
        return node.nodeargd.argnlist[at].latex_verbatim()[1:-1]

    def result(node) -> str:
        return plain(by_key[argument(node, 0)].text, results)

    def claim(node) -> str:
        condition = " ".join(argument(node, 0).split())
        if not claims.evaluate(condition, values):
            raise claims.ClaimError(f"{results.name}: no longer true: {condition}")
        return plain(argument(node, 1), results)

    shown = {"result": result, "claim": claim, "method": lambda node: plain(argument(node, 0), results)}
    shown |= {
        "Fone": lambda node: f"F1{node.macro_post_space}",  # TeX's xspace
        "cref": lambda _: "",
        "code": lambda node: argument(node, 0),
    }
    context.add_context_category(
        "thesis",
        prepend=True,
        macros=[MacroTextSpec(name, simplify_repl=replace) for name, replace in shown.items()],
    )
    nodes = _walker(text).get_latex_nodes()[0]
    converted = LatexNodes2Text(latex_context=context, math_mode="text").nodelist_to_text(nodes)
    converted = re.sub(r"(?<![\w.])-(?=\d)", "−", converted)
    return re.sub(r"\s+([.,;:])", r"\1", re.sub(r"\s+", " ", converted)).strip()


def _walker(text: str) -> LatexWalker:
    context = default_macros()
    specs = [MacroSpec(name, arguments) for name, arguments in MACROS.items()]
    context.add_context_category("thesis", prepend=True, macros=specs)
    return LatexWalker(text, latex_context=context)


def _defined(text: str) -> dict[str, str]:
    """The texts of a file's ``\\deflead{name}{text}``."""
    nodes = _walker(text).get_latex_nodes()[0]
    found = (node.nodeargd.argnlist for node in nodes if getattr(node, "macroname", None) == "deflead")
    return {name.latex_verbatim()[1:-1]: text.latex_verbatim()[1:-1] for name, text in found}
