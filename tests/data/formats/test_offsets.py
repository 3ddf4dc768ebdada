"""PubTator and BioCreative: mentions with offsets become spans of tokens."""

import functools

import pytest
from corpus_files import dataset, read_texts, surfaces
from hypothesis import given
from hypothesis import strategies as st

from ner_utils.data.formats import registry
from ner_utils.data.formats.lines import DataError
from ner_utils.data.formats.offsets import standoff


@pytest.fixture
def read(tmp_path):
    """``read(settings, text, ...)`` reads texts as the files of one split."""
    return functools.partial(read_texts, tmp_path)


FLAWED = [
    "7|t|TNF-α helps.",
    "7|a|Ada had a cold .",
    "7\t0\t5\tTNF-a\tChemical",  # another letter
    "7\t6\t12\thelps. \tDisease",  # a trailing blank
    "7\t16\t17\t \tDisease",  # no token
    "7\t21\t27\ta\u00a0cold\tDisease",  # another space
    "7\t90\t99\tabsent\tDisease",  # behind the end
    "7\tx\t1\tTNF\tDisease",  # no number
]


def test_flawed_mentions(read, tmp_path):
    twice = [*FLAWED, "7|t|Again.", "7|a|", "7\t0\t5\tAgain\tDisease"]
    path = tmp_path / "file0.txt"
    with pytest.raises(DataError) as error:
        read(dataset("pubtator"), "\n".join(twice))
    assert str(error.value).split("\n")[:5] == [
        f"{path}:3: the text of the mention is not at its offsets: 'TNF-a', found 'TNF-α' at 0:5",
        f"{path}:5: document 7: mention 16:17 (line 5) holds no token",
        f"{path}:7: the text of the mention is not at its offsets: 'absent', found '' at 90:99",
        f"{path}:8: the text of the mention is not at its offsets: 'TNF', found None at x:1",
        f"{path}:9: document 7 occurs twice",
    ]
    rows = read(dataset("pubtator", flaws="drop"), "\n".join(twice))
    assert surfaces(rows) == [("Disease", "helps ."), ("Disease", "a cold")]
    assert [s.tokens for s in rows] == [("TNF", "-", "α", "helps", "."), ("Ada", "had", "a", "cold", ".")]
    assert [reason for s in rows for reason in s.treated].count("dropped_flaws") == 5


def test_equivalent_code_points_are_no_flaw(read):
    text = "7|t|Caf\u00e9 and \ufb01sh.\n7|a|\n7\t0\t4\tCafe\u0301\tDisease\n7\t9\t12\tfish\tChemical\n"
    assert surfaces(read(dataset("pubtator"), text)) == [("Disease", "Caf\u00e9"), ("Chemical", "\ufb01sh")]


def test_blank_lines_inside_a_document_of_pubtator(read):
    block = [
        "7|t|Aspirin helps.",
        "",
        "7|a|",
        " ",
        "7\t0\t7\tAspirin\tChemical",
        "",
        "7\t8\t13\thelps\tDisease",
    ]
    rows = read(dataset("pubtator"), "\n".join([*block, "", "8|t|No.", "8|a|"]))
    assert surfaces(rows) == [("Chemical", "Aspirin"), ("Disease", "helps")]
    assert [s.document for s in rows] == ["7", "8"]
    with pytest.raises(DataError, match=":1: expected id"):
        read(dataset("pubtator"), "7\t0\t1\tA\tChemical\n7|t|A\n7|a|\n")


def test_repeated_documents_of_biocreative(read):
    twice = ABSTRACTS + "7\tOther.\t\n"
    rows = read(dataset("biocreative", overlaps="longest", types=GENES, flaws="drop"), twice, ENTITIES)
    assert [s.tokens[0] for s in rows] == ["Adenylyl", "It", "Nothing"]
    assert rows[0].treated.count("dropped_flaws") == 1


# --------------------------------------------------------- scripts without spaces
@pytest.mark.parametrize(
    ("title", "mentions", "tokens"),
    [
        pytest.param(
            "他患肺炎。发热咳嗽！好吗？",
            ["肺炎", "发热", "咳嗽"],
            "他 患 肺 炎 。|发 热 咳 嗽 ！|好 吗 ？",
            id="Chinese",
        ),
        pytest.param(
            "β受体2A型，COVID-19肺炎", ["受体", "肺炎"], "β 受 体 2A 型 ， COVID - 19 肺 炎", id="mixed"
        ),
        pytest.param(
            "「熱だ。」とカナは言う。", ["カナ"], "「 熱 だ 。 」|と カ ナ は 言 う 。", id="Japanese"
        ),
        pytest.param("ผู้ป่วยไข้", ["ไข้"], "ผู้ ป่ ว ย ไ ข้", id="Thai"),
        pytest.param("𠀀𠀁。𠀂", ["𠀂"], "𠀀 𠀁 。|𠀂", id="beyond the basic plane"),
        pytest.param("감기에 걸렸다. Он болен.", ["감기에"], "감기에 걸렸다 .|Он болен .", id="with spaces"),
        pytest.param("वह दिल्ली में है", ["दिल्ली"], "वह दिल्ली में है", id="Hindi"),
        pytest.param("சென்னை -நகரம்", ["சென்னை"], "சென்னை - நகரம்", id="Tamil"),
        pytest.param("مُحَمَّد هنا", ["مُحَمَّد"], "مُحَمَّد هنا", id="Arabic with harakat"),
        pytest.param("می\u200cخواهم x", ["می\u200cخواهم"], "می\u200cخواهم x", id="joiners"),
        pytest.param("Jose\u0301, so\xadft", ["Jose\u0301"], "Jose\u0301 , so\xadft", id="NFD"),
        pytest.param(
            "a \u0301b 葛\U000e0100木", ["葛\U000e0100"], "a \u0301 b 葛\U000e0100 木", id="selectors"
        ),
    ],
)
def test_characters_are_the_tokens_of_scripts_without_spaces(read, title, mentions, tokens):
    rows = [
        f"7\t{title.index(text)}\t{title.index(text) + len(text)}\t{text}\tDisease\n" for text in mentions
    ]
    sentences = read(dataset("pubtator"), f"7|t|{title}\n7|a|\n" + "".join(rows))
    assert [" ".join(sentence.tokens) for sentence in sentences] == tokens.split("|")
    assert [text.replace(" ", "") for _, text in surfaces(sentences)] == mentions
    assert not any(sentence.treated for sentence in sentences)


# ------------------------------------------------------------------------------ PubTator
# Offsets count characters, also those beyond the basic plane; the title and one character come first.
TITLE = "Effect of 𝛼-tocopherol on renal and hepatic failure."
ABSTRACT = "Metabolic acidosis (e.g. coma) 🙂 was seen. Paracetamol was not given by E. Coli Ltd. in 5.2 mg."
TEXT = f"{TITLE} {ABSTRACT}"


def at(text, kind, *more, begin=0):
    start = TEXT.index(text, begin)
    return "\t".join(["7", str(start), str(start + len(text)), text, kind, *more])


LINES = [
    f"7|t|{TITLE}",
    f"7|a|{ABSTRACT}",
    at("𝛼-tocopherol", "Chemical", "D024502"),
    at("renal and hepatic failure", "Disease", "D058186|D017093", "renal failure|hepatic failure"),
    at("Metabolic acidosis", "Disease", "D000138", ""),
    at("acidosis", "Disease"),
    at("coma", "Disease", "D003128"),
    at("Paraceta", "Chemical", "D000082"),
    at("E. Coli Ltd.", "Chemical", "-1"),
    "7\tCID\tD000082\tD003128",
    "7\tPositive_Correlation\tD000082\tD003128\tNovel",
]
OTHER = ["8|t|Two | pipes", "8|a|"]


def pubtator(*blocks, end="\n"):
    return end + (2 * end).join(end.join(block) for block in blocks) + end


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(pubtator(LINES, OTHER), id="plain"),
        pytest.param(pubtator(LINES, OTHER, end="\r\n") + "\r\n", id="Windows line ends"),
    ],
)
def test_pubtator(read, text):
    sentences = read(dataset("pubtator", overlaps="longest"), text)
    assert surfaces(sentences) == [
        ("Chemical", "𝛼 - tocopherol"),
        ("Disease", "renal and hepatic failure"),
        ("Disease", "Metabolic acidosis"),
        ("Disease", "coma"),
        ("Chemical", "Paracetamol"),
        ("Chemical", "E . Coli Ltd ."),
    ]
    assert [s.treated for s in sentences] == [
        ("discontinuous_mentions",),
        ("overlapping_mentions",),
        ("widened_mentions", "split_mentions"),
        (),
    ]
    assert [s.tokens[0] for s in sentences] == ["Effect", "Metabolic", "Paracetamol", "Two"]
    assert [s.document for s in sentences] == ["7", "7", "7", "8"]
    first = sentences[0]
    assert first.tokens[2:5] == ("𝛼", "-", "tocopherol")
    assert first.offsets[2:5] == (10, 11, 12)


def test_overlapping_mentions_are_refused_by_default(read, tmp_path):
    with pytest.raises(DataError) as error:
        read(dataset("pubtator"), pubtator(LINES))
    start = TEXT.index("Metabolic")
    assert str(error.value) == (
        f"{tmp_path / 'file0.txt'}: document 7: mentions {start}:{start + 18} (line 6) and "
        f"{start + 10}:{start + 18} (line 7) overlap; declare `overlaps: longest` to keep the longest"
    )


@pytest.mark.parametrize(
    ("index", "line", "message"),
    [
        pytest.param(0, "7|a|x", ":2: expected id|t|title", id="no title"),
        pytest.param(1, "7|t|x", ":2: expected id|t|title", id="no abstract"),
        pytest.param(2, at("coma", "Disease").replace("7", "9", 1), ":4: expected 7, start", id="other id"),
        pytest.param(2, "7\t0\t6\tEffect", ":4: expected 7, start, end, text and type", id="no type"),
        pytest.param(2, at("coma", "Gene"), ":4: unknown type 'Gene'; types are Chem", id="unknown type"),
        pytest.param(2, "7\t1\t6\tEffec\tDisease", ":4: the text of the mention is not", id="off by one"),
        pytest.param(2, "7\t0\t5.9\tEffect\tDisease", ":4: the text of the mention is not", id="fraction"),
        pytest.param(2, f"7\t{'9' * 5000}\t6\tEffect\tDisease", ":4: the text of", id="a long number"),
        pytest.param(2, "7\t6\t7\t \tDisease", "7: mention 6:7 (line 4) holds no token", id="white space"),
    ],
)
def test_broken_pubtator(read, tmp_path, index, line, message):
    broken = [*LINES[:index], line, *LINES[index + 1 :]]
    with pytest.raises(DataError) as error:
        read(dataset("pubtator", overlaps="longest"), pubtator(broken))
    assert str(error.value).startswith(f"{tmp_path / 'file0.txt'}:")
    assert message in str(error.value)


# --------------------------------------------------------------------------- BioCreative
GENES = {"CHEMICAL": "chemical", "GENE-Y": "gene with an entry", "GENE-N": "gene without one"}
ABSTRACTS = "7\tAdenylyl cyclase.\tIt binds (-)-alprenolol.\n9\t\tNothing.\n"
ENTITIES = "7\tT1\tGENE-Y\t0\t16\tAdenylyl cyclase\n7\tT2\tCHEMICAL\t0\t8\tAdenylyl\n"
ENTITIES += "7\tT9\tCHEMICAL\t27\t41\t(-)-alprenolol\n"


def test_biocreative(read):
    sentences = read(dataset("biocreative", overlaps="longest", types=GENES), ABSTRACTS, ENTITIES + "\n")
    assert surfaces(sentences) == [("GENE-Y", "Adenylyl cyclase"), ("CHEMICAL", "( - ) - alprenolol")]
    assert [(s.document, s.treated) for s in sentences] == [
        ("7", ("overlapping_mentions",)),
        ("7", ()),
        ("9", ()),
    ]
    with pytest.raises(
        DataError, match=r"file1.txt: document 7: mentions 0:16 \(line 1\) and 0:8 \(line 2\)"
    ):
        read(dataset("biocreative", types=GENES), ABSTRACTS, ENTITIES)


@pytest.mark.parametrize(
    ("abstracts", "entities", "message"),
    [
        (ABSTRACTS + "7\tx\ty\n", ENTITIES, "file0.txt:3: expected id, title and abstract of another"),
        (ABSTRACTS, ENTITIES + "8\tT1\tGENE-Y\t0\t1\tx\n", "file1.txt:4: expected id of a document in file0"),
        (ABSTRACTS, ENTITIES + "7\tT1\tGENE-Y\t0\t1\n", "file1.txt:4: expected id of a document"),
        (
            ABSTRACTS,
            ENTITIES + "7\tT1\tGENE\t0\t8\tAdenylyl\n",
            "file1.txt:4: unknown type 'GENE'; types are",
        ),
        (ABSTRACTS, ENTITIES + "7\tT1\tGENE-N\t1\t9\tAdenylyl\n", "file1.txt:4: the text of the mention"),
    ],
)
def test_broken_biocreative(read, abstracts, entities, message):
    with pytest.raises(DataError, match=message):
        read(dataset("biocreative", overlaps="longest", types=GENES), abstracts, entities)


# -------------------------------------------------------------------------------- offsets
@st.composite
def documents(draw):
    """Title, abstract and mentions [(start, end, type)] of a document; words may touch."""
    words = st.sampled_from(
        ["p53", "-", "A.", "b", "é", "𝛼🙂", "e\u0301", "(", " ", " ", "  ", "\u00a0", "Z", "5.2"]
    )
    title, abstract = ("".join(draw(st.lists(words, min_size=size, max_size=12))) for size in (1, 0))
    text = f"{title} {abstract}"
    mentions = []
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, len(text) - 1))
        end = draw(st.integers(start + 1, len(text)))
        if text[start:end].strip():
            mentions.append((start, end, draw(st.sampled_from(["Chemical", "Disease"]))))
    return title, abstract, mentions


@given(documents())
def test_offsets_hold_and_every_mention_is_accounted_for(tmp_path_factory, document):
    title, abstract, mentions = document
    text = f"{title} {abstract}"
    folder = tmp_path_factory.mktemp("offsets")
    lines = [f"{start}\t{end}\t{text[start:end]}\t{kind}" for start, end, kind in mentions]
    block = [f"1|t|{title}", f"1|a|{abstract}", *(f"1\t{line}" for line in lines)]
    (folder / "p").write_text(pubtator(block), encoding="utf-8")
    (folder / "a").write_text(f"1\t{title}\t{abstract}\n", encoding="utf-8")
    rows = [f"1\tT\t{kind}\t{start}\t{end}\t{text[start:end]}\n" for start, end, kind in mentions]
    (folder / "e").write_text("".join(rows), encoding="utf-8")
    sentences = list(registry.read(dataset("pubtator", overlaps="longest"), folder / "p"))
    again = registry.read(dataset("biocreative", overlaps="longest"), folder / "a", folder / "e")
    assert list(again) == sentences

    kept, treated = [], []
    for sentence in sentences:
        pairs = list(zip(sentence.offsets, sentence.tokens, strict=True))
        assert all(text[offset : offset + len(token)] == token for offset, token in pairs)
        ends = [0]
        for span in sentence.spans:
            assert ends[-1] <= span.start < span.end <= len(pairs)
            ends.append(span.end)
            start, end = pairs[span.start][0], pairs[span.end - 1][0] + len(pairs[span.end - 1][1])
            surface = "".join(sentence.tokens[span.start : span.end])
            assert "".join(text[start:end].split()) == surface
            assert any(a < end and start < b and kind == span.type for a, b, kind in mentions)
            kept.append((start, end))
        treated += sentence.treated
    assert "".join(token for s in sentences for token in s.tokens) == "".join(text.split())
    assert len(kept) + treated.count("overlapping_mentions") == len(mentions)
    exact = {(start, end) for start, end, _ in mentions}
    assert sum(span not in exact for span in kept) <= treated.count("widened_mentions")
    assert set(treated) <= set(standoff.CHANGES)
