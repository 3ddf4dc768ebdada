"""Formats: small files in each official layout, what is broken in them, and offsets that must hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ner_utils import readers, schema, standoff
from ner_utils.readers import DataError
from ner_utils.spans import Span

TYPES = {"Chemical": "chemical", "Disease": "disease"}


def dataset(format, **keys):
    file = {"file": "x"} | ({"annotations": schema.File(file="y")} if format == "biocreative" else {})
    splits = {split: schema.Split(**file) for split in ("train", "dev", "test")}
    about = {"label": "Small", "description": "made for tests", "licence": "CC0 1.0", "language": "en"}
    return schema.Dataset(**{"format": format, "types": TYPES, "splits": splits, **about, **keys})


@pytest.fixture
def read(tmp_path):
    """``read(settings, text, ...)`` writes each text into a file and reads them as one split."""

    def write_and_read(settings, *texts):
        files = [tmp_path / f"file{number}.txt" for number in range(len(texts))]
        for path, text in zip(files, texts, strict=True):
            path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
        return list(readers.read(settings, *files))

    return write_and_read


def surfaces(sentences):
    """[(type, text)] of all mentions."""
    return [(span.type, " ".join(s.tokens[span.start : span.end])) for s in sentences for span in s.spans]


# ------------------------------------------------------------------------ tokens with tags
NEWS = {"ORG": "organization", "LOC": "location"}
CONLL_2003 = """\
-DOCSTART- -X- -X- O

EU NNP I-NP I-ORG
in  IN I-PP O
New NNP I-NP I-LOC
York NNP I-NP I-LOC
Paris NNP I-NP B-LOC

-DOCSTART- -X- -X- O

nobody NN I-NP O
"""


def test_conll_2003s_own_layout(read):
    settings = dataset(
        "conll", columns=["token", "pos", "chunk", "tag"], separator="space", scheme="iob1", types=NEWS
    )
    first, second = read(settings, CONLL_2003)
    assert first.tokens == ("EU", "in", "New", "York", "Paris")
    assert first.spans == (Span(0, 1, "ORG"), Span(2, 4, "LOC"), Span(4, 5, "LOC"))
    assert (first.document, second.document) == ("file0.txt-1", "file0.txt-2")
    assert (first.repaired, first.offsets, second.spans) == (0, None, ())


def test_domains_come_from_a_column_or_a_field(read):
    settings = dataset("conll", columns=["token", "source", "tag"], domain="source")
    rows = read(settings, "a\treddit\tO\nb\treddit\tO\n\nc\ttwitter\tO\n")
    assert [row.domain for row in rows] == ["reddit", "twitter"]
    lines = '{"tokens": ["a"], "ner_tags": ["O"], "genre": "law"}\n{"tokens": ["b"], "ner_tags": ["O"]}\n'
    assert [row.domain for row in read(dataset("jsonl", domain="genre"), lines)] == ["law", None]
    assert [row.domain for row in read(dataset("jsonl"), lines)] == [None, None]
    with pytest.raises(DataError, match=":1: id and document and genre must be strings"):
        read(dataset("jsonl", domain="genre"), '{"tokens": ["a"], "ner_tags": ["O"], "genre": 3}\n')
    with pytest.raises(ValueError, match="domain: expected one of the columns token, tag"):
        dataset("conll", domain="source")


def test_documents_of_jnlpba_keep_their_names(read):
    text = (
        "###MEDLINE:95369245\n\nIL-2\tB-Chemical\ngene\tI-Chemical\n\n###MEDLINE:95333264\n\nno\tO\n\nno\tO\n"
    )
    assert [s.document for s in read(dataset("conll"), text)] == ["95369245", "95333264", "95333264"]
    text = "a\tO\n-DOCSTART-\tO\n\nb\tO\n-DOCSTART-s\tO\n"
    assert [(s.tokens, s.document) for s in read(dataset("conll"), text)] == [
        (("a",), None),
        (("b", "-DOCSTART-s"), "file0.txt-1"),
    ]


@pytest.mark.parametrize(
    ("scheme", "tags"), [("iob2", "B I B O B"), ("iob1", "I I B O I"), ("bioes", "B E S O S")]
)
def test_schemes_state_the_same_spans(read, scheme, tags):
    tags = [tag if tag == "O" else f"{tag}-LOC" for tag in tags.split()]
    conll = "".join(f"w\t{tag}\n" for tag in tags)
    jsonl = f'{{"tokens": {str(["w"] * 5)}, "ner_tags": {tags}}}\n'.replace("'", '"')
    for format, text in (("conll", conll), ("jsonl", jsonl)):
        (sentence,) = read(dataset(format, scheme=scheme, types=NEWS), text)
        assert sentence.spans == (Span(0, 2, "LOC"), Span(2, 3, "LOC"), Span(4, 5, "LOC"))
        assert sentence.repaired == 0


@pytest.mark.parametrize(
    ("keys", "text", "message"),
    [
        ({"separator": "space"}, "a b O\n", r":1: expected token, tag \(separated by a space\), found 3"),
        ({"columns": ["pos", "tag", "token"]}, "NN\tO\n", r":1: expected pos, tag, token .* found 2 column"),
        ({"columns": ["tag", "token"]}, "O\ta\nS-LOC\tb\n", ":2: unknown tag 'S-LOC'; types are ORG, LOC"),
        ({"scheme": "bioes"}, "a\tL-LOC\n", ":1: unknown tag 'L-LOC'"),
    ],
)
def test_broken_columns(read, keys, text, message):
    with pytest.raises(DataError, match=message):
        read(dataset("conll", types=NEWS, **keys), text)


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
        pytest.param("\ufeff" + pubtator(LINES, OTHER)[1:-1], id="byte order mark"),
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


def test_overlapping_mentions_are_refused_unless_a_policy_says_what_to_keep(read, tmp_path):
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
        pytest.param(1, "8|a|x", ":2: expected id|t|title", id="another document's abstract"),
        pytest.param(2, at("coma", "Disease").replace("7", "9", 1), ":4: expected 7, start", id="other id"),
        pytest.param(2, "7\t0\t6\tEffect", ":4: expected 7, start, end, text and type", id="no type"),
        pytest.param(2, at("coma", "Gene"), ":4: unknown type 'Gene'; types are Chem", id="unknown type"),
        pytest.param(2, "7\t1\t6\tEffec\tDisease", ":4: the text of the mention does not", id="off by one"),
        pytest.param(2, "7\t0\t7\tEffect\tDisease", ":4: the text of the mention does", id="too long"),
        pytest.param(2, "7\t0\t5.9\tEffect\tDisease", ":4: the text of the mention does", id="fraction"),
        pytest.param(2, "7\t-7\t-1\tEffect\tDisease", ":4: the text of the mention does", id="negative"),
        pytest.param(2, f"7\t{'9' * 5000}\t6\tEffect\tDisease", ":4: the text of", id="a long number"),
        pytest.param(2, "7\t1e\t6\tEffect\tDisease", ":4: the text of the mention does", id="no number"),
        pytest.param(2, "7\t6\t7\t \tDisease", "7: mention 6:7 (line 4) holds no token", id="white space"),
        pytest.param(2, "7\t6\t6\t\tDisease", "7: mention 6:6 (line 4) holds no token", id="empty"),
    ],
)
def test_broken_pubtator(read, tmp_path, index, line, message):
    broken = [*LINES[:index], line, *LINES[index + 1 :]]
    with pytest.raises(DataError) as error:
        read(dataset("pubtator", overlaps="longest"), pubtator(broken))
    assert str(error.value).startswith(f"{tmp_path / 'file0.txt'}:")
    assert message in str(error.value)


def test_pubtator_twice(read):
    with pytest.raises(DataError, match=":14: document 7 stands twice"):
        read(dataset("pubtator", overlaps="longest"), pubtator(LINES, LINES))


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
        (ABSTRACTS + "10\tx y\n", ENTITIES, "file0.txt:3: expected id, title and abstract"),
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
            mentions.append((start, end, draw(st.sampled_from(sorted(TYPES)))))
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
    sentences = list(readers.read(dataset("pubtator", overlaps="longest"), folder / "p"))
    again = readers.read(dataset("biocreative", overlaps="longest"), folder / "a", folder / "e")
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
    assert set(treated) <= set(standoff.TREATED)


# -------------------------------------------------------------------------------- privacy
@pytest.mark.parametrize(
    ("format", "texts"),
    [
        ("conll", ["a\tO\nb\tsecret\n"]),
        ("conll", ["secret\n"]),
        ("jsonl", ['{"tokens": ["secret"], "ner_tags": ["secret"]}\n']),
        ("jsonl", ["secret\n"]),
        ("pubtator", ["1|t|secret\n1|a|secret\n1\t0\t6\tsecret\tsecret\n"]),
        ("pubtator", ["1|t|secret\n1|a|secret\n1\t1\t6\tsecret\tDisease\n"]),
        ("pubtator", ["1|t|secret\n1|a|\n1\t0\t6\tsecret\tDisease\n1\t0\t3\tsec\tDisease\n"]),
        ("pubtator", ["1|t|secret\n"]),
        ("biocreative", ["1\tsecret\n", ""]),
        ("biocreative", ["1\tsecret\t\n", "1\tT1\tsecret\t0\t6\tsecret\n"]),
    ],
)
def test_no_error_quotes_a_private_corpus(read, format, texts):
    with pytest.raises(DataError) as error:
        read(dataset(format, private=True), *texts)
    assert "secret" not in str(error.value)
