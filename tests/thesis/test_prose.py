"""The search for what a text states without a check, and the committed texts."""

import re

import prose
import pytest

from ner_utils import paths
from ner_utils.thesis.leads import leads

TEXTS = [paths.THESIS / "author.tex"]
TEXTS += [paths.THESIS / "chapters" / f"{name}.tex" for name in ("results", "discussion", "conclusion")]
TEXTS += sorted((paths.THESIS / "discussions").glob("*.tex")) + sorted((paths.THESIS / "leads").glob("*.tex"))


# What may hold digits in a chapter on results: comments, labels, keys, predicates, file names, citations.
NO_PROSE = re.compile(
    r"(?<!\\)%.*|\\(?:label|c?[Cc]ref|result|ifresult\w*|inputtable|includeresultfigure|\w*cite\w*|texttt)"
    r"\*?(?:\[[^]]*\])?\{[^{}]*\}(?:\{[^{}]*\})?|\\claim\s*\{[^{}]*\}"
)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_every_judgement_of_a_committed_text_is_checked(path):
    assert prose.unchecked(path) == []


@pytest.mark.parametrize("chapter", ["appendix", "setup", "threats"])
def test_no_chapter_names_a_winner_unchecked(chapter):
    assert prose.unchecked(paths.THESIS / "chapters" / f"{chapter}.tex", [prose.OUTCOME]) == []


@pytest.mark.parametrize(
    ("sentence", "word"),
    [
        ("The encoder reaches 44 points.", "4"),
        ("It finds twelve names.", "twelve"),
        ("It takes twice the time.", "twice"),
        ("Half of them are right.", "Half"),
        ("A tenth of the items are invented.", "A tenth"),
        ("It costs tenfold.", "tenfold"),
        ("Ninety percent are right.", "Ninety"),
        ("This is the largest effect that the study found.", "largest"),
        (r"All systems find \result{a.union}\,\% of the mentions, the best \result{a.best}\,\%.", "best"),
        ("The encoder is much quicker than the other.", "quicker than"),
        ("Its development score is zero.", "zero"),
        ("The majority is right.", "majority"),
        ("The encoder wins.", "wins"),
        ("The two are equal.", "two"),
        ("They are equal.", "equal"),
        (r"The score of \emph{a} is higher.", "higher"),
        ("It needs fewer labels.", "fewer"),
        ("What it rules out is a large difference.", "rules out"),
        ("The difference is significant.", "significant"),
        ("This proves the point.", "proves"),
        ("It is told from chance.", "told from"),
        (r"Here \claim{a.b > 1}{it wins}, by more than before.", "more"),
        (r"\claim{a.high < 5}{The interval rules out a large difference}.", "rules out"),
        (r"\claim{abs(a.difference) < 1}{The two are equivalent}.", "two"),
        (r"\section{Which is the better way}", "better"),
        (r"\paragraph{Fewer labels.} They were drawn.", "Fewer"),
        (r"\ifresultdefined{study.x}{The encoder is faster.}{}", "faster"),
        (r"A table\caption{The best systems.} follows.", "best"),
    ],
)
def test_found(sentence, word):
    (statement,) = prose.find(f"Plain words.\n\n{sentence}\n", "x.tex")
    assert (statement.file, statement.line, statement.word) == ("x.tex", 3, word)


@pytest.mark.parametrize(
    "sentence",
    [
        r"\claim{max(a.b, c.d) > 2 * 3}{It is {much} better, by \result{a.b} points (five of them)}.",
        r"\claim{max(a.high, -a.low) < protocol.margin}{The interval rules out a difference that matters.}",
        r"It reaches \result{a.micro_f1} (\result{a.low} to \result{a.high}; corrected $p$ \result{a.p}).",
        r"\method{Two systems learnt from the same 100 sentences. The best wins.}",
        "It was trained. % the best of 12",
        r"\Cref{tab:a,fig:b} and \cref{tab:c2} show what was measured.",
        r"\begin{reading}A system with higher recall says more.\end{reading}",
        r"The study \enquote{\result{study.title}} \parencite{smith2020best} at \path{results/2}.",
        "Sentences are taken one at a time, one after the other.",
        "The zero-shot system was run as well.",
        "The request for a test interests the rest.",
    ],
)
def test_not_found(sentence):
    assert prose.find(sentence, "x.tex") == []


def test_method_holds_no_result():
    for text in (
        r"\method{It wins by \result{a.b}.}",
        r"\begin{reading}\claim{a.b > 1}{It wins.}\end{reading}",
        r"\method{On this corpus, the encoder clearly beats the decoder.}",
        r"\begin{reading}The generative model is much slower.\end{reading}",
        r"\method{The difference is not statistically significant.}",
    ):
        with pytest.raises(AssertionError, match="text on method holds a result"):
            prose.find(text, "x.tex")


def test_broken_text_is_refused():
    with pytest.raises(AssertionError, match="not closed"):
        prose.find(r"\claim{a.b > 1}{It wins.", "x.tex")


def test_the_abstract_alone_of_the_authors_file(tmp_path):
    file = tmp_path / "author.tex"
    text = "\\newcommand*\\theplacedate{May 2026}\n\\newcommand\\theabstract{%\nIt is {the} best.%\n}\n"
    file.write_text(text + "\\newcommand\\thedeclaration{One.}\n")
    assert [(each.line, each.word) for each in prose.unchecked(file)] == [(3, "best")]


@pytest.mark.parametrize("overrides", ["", "seeds=[1,2,3]"])
def test_the_generated_leads(made_up, overrides):
    results = made_up(overrides)
    made = leads(results)
    for name, text in made.items():
        assert prose.find(text, name) == []
    (least,) = re.findall(r"takes at least (\d+) times as long as [^;]* for a sentence", made["cost"])
    medians = results.summary.set_index("system")["latency_p50_ms"]
    ((a, b), *_) = results.study.protocol.comparisons
    assert 2 <= int(least) <= medians[[a, b]].max() / medians[[a, b]].min() / 1.3


@pytest.mark.parametrize(("low", "says"), [(-1.0, True), (0.5, False)])
def test_a_significant_difference_whose_interval_includes_zero(made_up, low, says):
    """The test takes the trained systems as given; an interval also covers other seeds."""
    results = made_up("")
    results.comparisons.loc[0, ["difference", "low", "high", "p_holm"]] = [2.0, low, 4.0, 0.01]
    text = leads(results)["comparisons"]
    assert ("the interval includes zero" in text) is says
    assert (".low <= 0 and" in text) is says


def test_a_comparison_on_disturbed_sentences_has_no_lead_on_lengths(made_up):
    """Mentions are counted by length on undisturbed sentences alone."""
    results = made_up("protocol.comparisons=[[minilm-typos,minilm-120]]", "demo")
    made = leads(results)
    assert "differences" not in made and made["comparisons"]


@pytest.mark.parametrize(
    "path",
    [
        paths.THESIS / "chapters" / "results.tex",
        *sorted((paths.THESIS / "discussions").glob("*.tex")),
        *sorted((paths.THESIS / "leads").glob("*.tex")),
    ],
    ids=lambda path: path.stem,
)
def test_no_number_is_typed_in_texts_on_results(path):
    for number, line in enumerate(NO_PROSE.sub(" ", path.read_text(encoding="utf-8")).splitlines(), 1):
        assert not re.search(r"\d", line), f"{path.name}:{number}: {line}"


def test_every_section_of_results_begins_with_its_finding():
    text = (paths.THESIS / "chapters" / "results.tex").read_text(encoding="utf-8")
    for title, body in re.findall(
        r"\\section\{(.*?)\}\s*\\label\{.*?\}\s*(.*?)(?=\\section|\Z)", text, re.DOTALL
    ):
        assert re.match(r"(?:\\elsewhere\{\w+\}\s*)?\\lead\{\w+\}", body), title


def test_the_search_for_typed_numbers_finds_one():
    assert re.search(r"\d", NO_PROSE.sub(" ", r"It reaches 44.1 points \result{a.b1} % 7"))
    assert not re.search(
        r"\d", NO_PROSE.sub(" ", r"It \claim{a.f1 > 3}{wins} by \result{a.f1} (\cref{fig:f1}) % 7")
    )
