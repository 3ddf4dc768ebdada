"""Formats: small files in each official layout, what is broken in them, and offsets that must hold."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ner_utils import config
from ner_utils.config import schema
from ner_utils.data.corpus import DataError
from ner_utils.data.formats import registry, standoff
from ner_utils.data.spans import Span

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
        return list(registry.read(settings, *files))

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
        read(dataset("jsonl", domain="genre"), '{"tokens": ["a"], "ner_tags": ["O"], "genre": [3]}\n')
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
    ("scheme", "tags"),
    [
        ("iob2", "B I B O B"),
        ("iob1", "I I B O I"),
        ("bioes", "B E S O S"),
        ("bilou", "B L U O U"),
    ],
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


@pytest.mark.parametrize(("scheme", "tags"), [("iob2", "B I I O"), ("bioes", "B I E O"), ("bmes", "B M E O")])
def test_one_type_needs_no_name(read, scheme, tags):
    text = "".join(f"w\t{tag}\n" for tag in tags.split())
    (sentence,) = read(dataset("conll", scheme=scheme, types={"LOC": "location"}), text)
    assert (sentence.spans, sentence.repaired) == ((Span(0, 3, "LOC"),), 0)
    with pytest.raises(DataError, match=":1: unknown tag 'B'; types are ORG, LOC"):
        read(dataset("conll", scheme=scheme, types=NEWS), text)


FOUR = {"columns": ["token", "pos", "chunk", "tag"], "separator": "space", "types": NEWS}


@pytest.mark.parametrize(
    ("keys", "comment"),
    [
        pytest.param({"types": NEWS}, "# sent_id = S-12", id="CoNLL-U in two columns"),
        pytest.param(FOUR, "# sent_id = S-12", id="as many cells as columns, a tag in the last"),
        pytest.param(FOUR, "# id 0a1b domain=en", id="MultiCoNER"),
        pytest.param({"types": NEWS}, "# id 0a1b\tdomain=en", id="MultiCoNER's tab"),
        pytest.param({"types": NEWS}, "# text = Ada met B-LOC", id="text that ends like a tag"),
        pytest.param({"types": NEWS}, "# read by two people\n# newpar\n# global.columns = ID TAG", id="many"),
        pytest.param({"types": NEWS}, "#end document", id="CoNLL-2012"),
    ],
)
def test_comments(read, keys, comment):
    token = "Ada _ _ B-ORG" if keys is FOUR else "Ada\tB-ORG"
    lines = ["\ufeff" + comment, token, token, "", comment, token, "", comment, ""]
    first, second = read(dataset("conll", **keys), "\r\n".join(lines))
    assert (first.tokens, second.tokens) == (("Ada", "Ada"), ("Ada",))
    assert surfaces([second]) == [("ORG", "Ada")]


@pytest.mark.parametrize(
    ("keys", "line", "tokens"),
    [
        ({"types": NEWS}, "#\tO", ("#", "b")),
        ({"types": NEWS}, "#ner\tB-ORG", ("#ner", "b")),
        (FOUR, "# NN I-NP O", ("#", "b")),
    ],
)
def test_a_token_that_begins_like_a_comment(read, keys, line, tokens):
    other = "b x y O" if keys is FOUR else "b\tO"
    for lines in ([line, other], ["", "# a comment", line, other]):
        assert [s.tokens for s in read(dataset("conll", **keys), "\n".join(lines))] == [tokens]


@pytest.mark.parametrize(
    ("keys", "text", "message"),
    [
        ({}, "a\tO\n# sent_id = 2\nb\tO\n", ":2: a comment inside a sentence; is a blank line missing"),
        ({}, "#ner\nb\tO\n", r":1: expected token, tag .* found 1 column"),
        ({}, "# \tB_ORG\n", ":1: unknown tag 'B_ORG'"),
        (FOUR, "# NN O\n", r":1: expected token, pos, chunk, tag .* found 3 column"),
    ],
)
def test_what_is_neither_comment_nor_token(read, keys, text, message):
    with pytest.raises(DataError, match=message):
        read(dataset("conll", **{"types": NEWS} | keys), text)


def test_documents_by_other_borders(read):
    """CoNLL-2012's and CoNLL-U's, and CoNLL-2003's in the shapes that files have."""
    text = "#begin document (a/b); part 000\nx\tO\n#end document\n"
    with pytest.raises(DataError, match=":3: a comment inside"):
        read(dataset("conll"), text)
    text = text.replace("#end", "\n#end") + "# newdoc id = d 1\n# sent_id = 1\ny\tO\n\n# newdoc\nz\tO\n"
    assert [s.document for s in read(dataset("conll"), text)] == ["(a/b); part 000", "d 1", "file0.txt-3"]
    shapes = ("-DOCSTART-", "-DOCSTART-\tO", "-DOCSTART- -X- -X- O", "-DOCSTART- (947testa CRICKET)")
    for shape in shapes:
        text = f"{shape}\n\na\tO\n\n{shape}\nb\tO\n"
        assert [s.document for s in read(dataset("conll"), text)] == ["file0.txt-1", "file0.txt-2"]


@pytest.mark.parametrize(
    "text",
    [
        "Ada\tX\tB-ORG\nis X O\n",
        "Ada X B-ORG\t\nis\tX\tO\t\t\n".replace("G\t", "G"),
        "  Ada   X  B-ORG \n is X O",
    ],
)
def test_a_line_with_a_tab_is_split_at_tabs(read, text):
    settings = dataset("conll", columns=["token", "pos", "tag"], separator="space", types=NEWS)
    assert surfaces(read(settings, text)) == [("ORG", "Ada")]
    with pytest.raises(DataError, match=":1: expected token, pos, tag .* found 2 column"):
        read(settings, "New York X\tB-ORG\n")


def test_cells_may_hold_spaces_and_the_last_ones_nothing(read):
    (sentence,) = read(dataset("conll", types=NEWS), "New York\tB-LOC\t\nof\tO\n")
    assert (sentence.tokens, sentence.spans) == (("New York", "of"), (Span(0, 1, "LOC"),))


def test_null_bytes(read):
    with pytest.raises(DataError, match=":2: holds a null byte"):
        read(dataset("conll"), "a\tO\nb\0\tO\n")


def json_lines(*rows):
    return "".join(json.dumps({"tokens": ["a", "b"]} | row) + "\n" for row in rows)


def test_integer_tags_are_places_in_the_declared_names(read):
    settings = dataset("jsonl", types=NEWS, tags=["B-LOC", "I-LOC", "O", "B-ORG"])
    rows = read(
        settings, json_lines({"ner_tags": [0, 1]}, {"ner_tags": [2, 3]}, {"ner_tags": ["B-LOC", "O"]})
    )
    assert [row.spans for row in rows] == [(Span(0, 2, "LOC"),), (Span(1, 2, "ORG"),), (Span(0, 1, "LOC"),)]
    settings = dataset("jsonl", types=NEWS, scheme="bilou", tags=["O", "U-LOC", "B-LOC", "I-LOC", "L-LOC"])
    assert [s.spans for s in read(settings, json_lines({"ner_tags": [2, 4]}))] == [(Span(0, 2, "LOC"),)]
    settings = dataset("jsonl", types={"LOC": "place"}, tags=["O", "B", "I"])
    assert [s.spans for s in read(settings, json_lines({"ner_tags": [1, 2]}))] == [(Span(0, 2, "LOC"),)]


@pytest.mark.parametrize(
    ("tags", "names", "message"),
    [
        ([0, 1], [], "ner_tags are integers, .* declare `tags:`"),
        ([0, 3], ["O", "B-LOC", "I-LOC"], "unknown tag 3; `tags` names 0 to 2"),
        ([0, 10**40], ["O", "B-LOC"], "unknown tag 1000"),
        ([True, False], ["O", "B-LOC"], "unknown tag True"),
        ([0, "B-LOC"], ["O", "B-LOC"], "unknown tag 'B-LOC'"),
        ([[0], [1]], ["O", "B-LOC"], r"unknown tag \[0\]"),
    ],
)
def test_integer_tags_that_mean_nothing(read, tags, names, message):
    with pytest.raises(DataError, match=f":2: {message}"):
        read(
            dataset("jsonl", types=NEWS, tags=names), json_lines({"ner_tags": ["O", "O"]}, {"ner_tags": tags})
        )


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"tags": ["O", "B-PER"]}, "tags: 'B-PER' is no tag of these types in scheme iob2"),
        ({"tags": ["O", "B-LOC", "O"]}, "tags: a name occurs twice"),
        ({"tags": ["O"], "format": "conll"}, "tags: format conll has no such key"),
    ],
)
def test_declared_tags_are_checked(keys, message):
    with pytest.raises(ValueError, match=message):
        dataset(**{"format": "jsonl", "types": NEWS} | keys)


def test_integer_tags_of_multinerd():
    """In the order of its README: O is 0, then B and I of each type."""
    tags = config.load_dataset("multinerd.de").tags
    assert len(tags) == 31 and tags[:4] == ["O", "B-PER", "I-PER", "B-ORG"]
    assert (tags[21], tags[22], tags[30]) == ("B-MEDIA", "I-MEDIA", "I-VEHI")


def test_ids_may_be_integers_and_lines_blank(read):
    rows = [
        {"ner_tags": ["O", "O"], "id": 0, "document": 12},
        {"ner_tags": ["O", "O"], "id": "x", "document": ""},
    ]
    text = "\r\n" + json_lines(*rows).replace("\n", "\r\n \r\n\r\n")
    assert [(s.id, s.document) for s in read(dataset("jsonl"), text)] == [("0", "12"), ("x", None)]
    same = json_lines({"ner_tags": ["O", "O"], "id": 7}, {"ner_tags": ["O", "O"], "id": "7"})
    with pytest.raises(DataError, match=":2: two sentences share an id '7': see line 1"):
        read(dataset("jsonl"), same)
    with pytest.raises(DataError, match=r":2: two sentences share an id: see line 1$"):
        read(dataset("jsonl", private=True), same)


@pytest.mark.parametrize(
    ("key", "value"), [("id", True), ("id", 1.5), ("document", [7]), ("source", float("nan"))]
)
def test_what_is_no_id(read, key, value):
    with pytest.raises(DataError, match=":1: .* must be strings or integers"):
        read(dataset("jsonl", domain="source"), json_lines({"ner_tags": ["O", "O"], key: value}))


@pytest.mark.parametrize(
    "line",
    [
        '{"tokens": ["a"], "tokens": ["b"], "ner_tags": ["O"]}',
        '{"tokens": ["a"], "ner_tags": ["O"], "more": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"tokens": ["a"], "ner_tags": ["O"], "id": ' + "7" * 5000 + "}",
        '{"tokens": ["a"], "ner_tags": ["' + "x" * 1_000_000 + '"]}',
        '{"tokens": ["a"], "ner_tags": ["\\u001b[2J"]}',
    ],
)
def test_a_strange_line_gets_a_short_message(read, line):
    with pytest.raises(DataError, match=":2: ") as error:
        read(dataset("jsonl"), '{"tokens": ["a"], "ner_tags": ["O"]}\n' + line)
    assert len(str(error.value)) < 600 and "\x1b" not in str(error.value)


@pytest.mark.parametrize(
    "row",
    [
        {"tokens": ["a", "hi \ud83d"]},
        {"tokens": ["a", "b"], "id": "\udfff"},
        {"tokens": ["a", "b"], "source": "\ud800"},
    ],
)
def test_half_a_surrogate_pair_is_no_text(read, row):
    settings = dataset("jsonl", domain="source")
    text = json_lines(
        {"ner_tags": ["O", "O"]},
        {"ner_tags": ["O", "O"]} | row,
        {"tokens": ["🙂", "c"], "ner_tags": ["O", "O"]},
    )
    with pytest.raises(DataError, match=":2: a lone surrogate"):
        read(settings, text)
    rows = read(settings.model_copy(update={"flaws": "drop"}), text)
    assert [(s.tokens, s.treated) for s in rows] == [(("a", "b"), ()), (("🙂", "c"), ("dropped_flaws",))]


# ------------------------------------------------------------------------------ flaws
def test_flaws_of_a_file_are_listed_at_once(read, tmp_path):
    text = "\tO\na\tO\n" * 7
    with pytest.raises(DataError) as error:
        read(dataset("conll"), text)
    path = tmp_path / "file0.txt"
    assert str(error.value).split("\n") == [
        *(f"{path}:{number}: empty token" for number in (1, 3, 5, 7, 9)),
        "and 2 more",
        "`flaws: drop` in the corpus' file leaves such lines or mentions out, and counts them",
    ]


def test_flaws_that_are_dropped_are_counted(read):
    """At the sentence that follows or, behind the last, at that one; a sentence may lose all its tokens."""
    text = " \tB-Disease\n\na\tB-Disease\n\tI-Disease\nb\tI-Disease\n\n\u3000\tO\n"
    (sentence,) = read(dataset("conll", flaws="drop"), text)
    assert (sentence.tokens, sentence.spans) == (("a", "b"), (Span(0, 2, "Disease"),))
    assert sentence.treated == ("dropped_flaws",) * 3
    rows = [
        {"tokens": ["", "b"], "ner_tags": ["O", "B-Disease"]},
        {"tokens": [" ", ""], "ner_tags": ["O", "O"]},
    ]
    (sentence,) = read(dataset("jsonl", flaws="drop"), json_lines(*rows, {"tokens": [], "ner_tags": []}))
    assert (sentence.tokens, sentence.spans) == (("b",), (Span(0, 1, "Disease"),))
    assert sentence.treated == ("dropped_flaws",) * 3


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


def test_the_same_letters_by_other_code_points_are_no_flaw(read):
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


def test_documents_of_biocreative_that_stand_twice(read):
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
    ],
)
def test_characters_are_the_words_of_scripts_without_spaces(read, title, mentions, tokens):
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


# -------------------------------------------------------------------------------- privacy
@pytest.mark.parametrize(
    ("format", "texts"),
    [
        ("conll", ["a\tO\nb\tsecret\n"]),
        ("jsonl", ['{"tokens": ["secret"], "ner_tags": ["secret"]}\n']),
        ("jsonl", ["secret\n"]),
        ("jsonl", ['{"tokens": ["secret", "\\ud800"], "ner_tags": ["O", "O"]}\n']),
        ("jsonl", ['{"id": "secret", "tokens": ["a"], "ner_tags": ["O"]}\n' * 2]),
        ("pubtator", ["secret|t|a\nsecret|a|b\n" * 2]),
        ("pubtator", ["secret|t|a\nsecret|a|b\n7\t0\t1\ta\tDisease\n"]),
        ("pubtator", ["1|t|secret\n1|a|\n1\tsecret\t6\tsecret\tDisease\n"]),
        ("pubtator", ["1|t|secret\n1|a|secret\n1\t0\t6\tsecret\tsecret\n"]),
        ("pubtator", ["1|t|secret\n1|a|secret\n1\t1\t6\tsecret\tDisease\n"]),
        ("pubtator", ["1|t|secret\n1|a|\n1\t0\t6\tsecret\tDisease\n1\t0\t3\tsec\tDisease\n"]),
        ("biocreative", ["1\tsecret\n", ""]),
        ("biocreative", ["1\tsecret\t\n", "1\tT1\tsecret\t0\t6\tsecret\n"]),
    ],
)
def test_no_error_quotes_a_private_corpus(read, format, texts):
    with pytest.raises(DataError) as error:
        read(dataset(format, private=True), *texts)
    assert "secret" not in str(error.value)
