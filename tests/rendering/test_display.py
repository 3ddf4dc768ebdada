"""Notebook HTML: hostile text must not break a page, and a page must say what is right and wrong."""

import html.parser

import pandas as pd
import pytest

from ner_utils import config
from ner_utils.data.corpus import Sentence
from ner_utils.data.spans import Span
from ner_utils.rendering.colours import type_colours
from ner_utils.rendering.display import facts, quote, show_sentences, show_table, words

VOID = {"br", "hr", "img", "wbr"}


class Page(html.parser.HTMLParser):
    """Checks that tags nest, and collects tags, attributes and text."""

    def __init__(self, source: str):
        super().__init__()
        self.open, self.tags, self.attributes, self.words = [], [], [], []
        self.feed(source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        assert tag not in VOID
        self.open.append(tag)
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.words += text.split()

    @property
    def text(self) -> str:
        return " ".join(self.words)


def sentence(*tokens: str, spans=()) -> Sentence:
    return Sentence("1", None, tokens, tuple(spans))


def corpus(*types: str, **more):
    """A corpus with these types."""
    named = {kind: f"word for {kind}" for kind in types or ("PER", "LOC")}
    return config.load_dataset("demo").model_copy(update={"types": named, **more})


HOSTILE = [
    "<script>alert(1)</script>",
    "&amp;",
    '"',
    "</div>",
    "<!--",
    "]]>",
    "'><img src=x onerror=y>",
    "$x$",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text(text):
    """As a token, a mention, a type, a caption, a name and a value: text in, the same text out."""
    pages = [
        show_sentences(corpus(text), [sentence(text, "a", spans=[Span(0, 1, text)])], [[Span(1, 2, text)]]),
        show_table(pd.DataFrame({text: [text]}, index=pd.Index([text], name=text)), text),
        facts({text: text, "counts": {text: 1}}),
    ]
    for shown in pages:
        page = Page(shown.data)
        assert set(page.tags) <= {"div", "mark", "bdi", "small", "b", "table", "caption", "tr", "th", "td"}
        assert {name for name, _ in page.attributes} <= {"class", "style", "dir", "scope"}
        assert text in page.text
        assert ("class", "tex2jax_ignore mathjax_ignore") in page.attributes


def test_control_characters():
    tokens = sentence("a\u202eb", "\x00", "\ud800", "\u2028", "\u2067", "x\u200dy", spans=[Span(0, 2, "T")])
    shown = show_sentences(corpus("T"), [tokens])
    shown.data.encode("utf-8")
    assert Page(shown.data).text.endswith("a⟨U+202E⟩b ⟨U+0000⟩ T ⟨U+D800⟩ ⟨U+2028⟩ ⟨U+2067⟩ x\u200dy")
    assert "⟨U+000A⟩" in facts({"a": "b\nc"}).data


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("\x1b[2J\x1b]0;title\x07", "⟨U+001B⟩[2J⟨U+001B⟩]0;title⟨U+0007⟩"),  # clear the screen, set the title
        ("\x9b31m", "⟨U+009B⟩31m"),  # the same escape in one character
        ("a\rb\x08", "a⟨U+000D⟩b⟨U+0008⟩"),  # text over text
        ("\u202egnp.exe", "⟨U+202E⟩gnp.exe"),
        ("\ud800", "⟨U+D800⟩"),  # which no terminal can encode
        ("\u2028", "⟨U+2028⟩"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("می\u200cرود 👨\u200d👩 naïve", "می\u200cرود 👨\u200d👩 naïve"),
    ],
)
def test_a_quoted_text_cannot_act_on_a_terminal(text, seen):
    assert quote(text, private=False) == seen
    seen.encode("utf-8")


@pytest.mark.parametrize(
    ("tokens", "direction"),
    [
        (("Ada", "שלום"), "ltr"),
        (("שלום", "Ada"), "rtl"),
        (("123", "سلام"), "rtl"),
        (("123", "!"), "ltr"),
    ],
)
def test_writing_direction(tokens, direction):
    """A sentence runs as its first strong character does; mentions and labels keep to themselves."""
    page = Page(show_sentences(corpus(), [sentence(*tokens, spans=[Span(0, 1, "PER")])]).data)
    assert [value for name, value in page.attributes if name == "dir"] == ["ltr", direction, "ltr"]
    assert "bdi" in page.tags


def backgrounds(shown):
    styles = [value for name, value in Page(shown.data).attributes if name == "style"]
    return [style.split(";")[0][11:] for style in styles if style.startswith("background")]


def test_gold_alone():
    gold = [Span(2, 4, "LOC"), Span(0, 1, "PER")]
    shown = show_sentences(corpus(), [sentence("Ada", "met", "New", "York", spans=gold)])
    assert Page(shown.data).text == "word for PER PER word for LOC LOC Ada PER met New York LOC"
    assert len(set(backgrounds(shown))) == 2


def test_a_type_has_one_colour_whatever_is_shown():
    """Also where other types are missing; no two of up to 18 types share a colour."""
    both = show_sentences(corpus(), [sentence("Ada", "Rome", spans=[Span(0, 1, "PER"), Span(1, 2, "LOC")])])
    alone = show_sentences(corpus(), [sentence("Rome", spans=[Span(0, 1, "LOC")])])
    colours = type_colours(corpus())
    assert backgrounds(both) == [colours["PER"], colours["LOC"]] * 2
    assert backgrounds(alone) == [colours["LOC"]] * 2
    assert len(set(type_colours(corpus(*(f"T{n}" for n in range(18)))).values())) == 18


def test_verdicts_are_written():
    """Misses and false alarms differ in words and border, not in colour alone."""
    gold = [Span(0, 1, "PER"), Span(2, 4, "LOC")]
    sentences = [sentence("Ada", "met", "New", "York", spans=gold), sentence("Bo", spans=gold[:1])]
    shown = show_sentences(corpus(), sentences, [[Span(0, 1, "PER"), Span(3, 4, "LOC")], gold[:1]]).data
    assert Page(shown).text.endswith(
        "gold Ada PER met New York LOC missed "
        "predicted Ada PER met New York LOC false alarm "
        "gold = predicted Bo PER"
    )
    assert shown.count("solid") == 5 and shown.count("dashed") == 1 and shown.count("dotted") == 1


def test_nothing_of_a_private_corpus_is_shown():
    shown = show_sentences(corpus(private=True), [sentence("secret", spans=[Span(0, 1, "PER")])], [[]])
    for text in (shown.data, quote("a secret", private=True)):
        assert "secret" not in text and "private" in text
    assert quote("open", private=False) == "open"


def test_lengths_must_fit():
    with pytest.raises(ValueError):
        show_sentences(corpus(), [sentence("a")], [[], []])


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("label_b", "compared with"),
        ("smallest", "smallest detectable difference"),
        ("dropped.unknown_type", "dropped unknown type"),
        ("MiniLM_v2", "MiniLM_v2"),
        ("95 % interval", "95 % interval"),
        (3, 3),
    ],
)
def test_keys_become_words_and_labels_stay(key, text):
    assert words(key) == text
    assert str(text) in facts({key: 1}).data and str(text) in show_table(pd.DataFrame({key: [1]}), "").data


def test_table():
    frame = pd.DataFrame({"n": [1, 2], "share": [0.5, None], "who": ["a", "b"]})
    shown = show_table(frame, "Numbers")
    assert Page(shown.data).text == "Numbers n share who 1 0.5 a 2 – b"
    assert '<td style="text-align:right">1</td>' in shown.data
    assert '<td style="text-align:left">a</td>' in shown.data
    assert "split n" in Page(show_table(frame.set_axis(["x", "y"]).rename_axis("split"), "").data).text
    assert Page(show_table(frame[:0], "none").data).text == "none n share who"


def test_facts():
    values = {"Rate": 5e-5, "Long": 12345678, "Missing": None, "Counts": {"ok": 3, "failed": 0}, "Empty": {}}
    values |= {"Seeds": [1, 2], "Pairs": [["a", "b"], ["<", "d"]]}
    expected = "Rate 5e-05 Long 12345678 Missing – Counts ok 3, failed 0 Empty – Seeds 1, 2 Pairs a, b; <, d"
    assert Page(facts(values).data).text == expected
