"""Files in columns: layouts, schemes of tags, comments, documents and flaws."""

import functools

import pytest
from corpus_files import dataset, read_texts, surfaces

from ner_utils import paths
from ner_utils.data.formats.lines import DataError
from ner_utils.data.spans import Span


@pytest.fixture
def read(tmp_path):
    """``read(settings, text, ...)`` reads texts as the files of one split."""
    return functools.partial(read_texts, tmp_path)


NEWS = {"ORG": "organization", "LOC": "location"}
CONLL_2003 = """\
-DOCSTART- -X- -X- O

EU NNP I-NP I-ORG
in  IN I-PP O
New NNP I-NP I-LOC
York NNP I-NP I-LOC
Paris NNP I-NP B-LOC

-DOCSTART- -X- -X- O

none NN I-NP O
"""


def test_layout_of_conll_2003(read):
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


def test_document_names_of_jnlpba(read):
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
def test_all_schemes_give_the_same_spans(read, scheme, tags):
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
def test_tags_without_a_type_if_there_is_only_one(read, scheme, tags):
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
        (FOUR, "# SYM = O", ("#", "b")),
        (FOUR, "# id X B-ORG", ("#", "b")),
        ({"types": NEWS}, "# id\tO", ("# id", "b")),
        ({"types": NEWS}, "#begin document x\tB-LOC", ("#begin document x", "b")),
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
        ({}, "# \tB:ORG\n", ":1: unknown tag 'B:ORG'"),
        (FOUR, "# NN O\n", r":1: expected token, pos, chunk, tag .* found 3 column"),
    ],
)
def test_lines_that_are_neither_comment_nor_token(read, keys, text, message):
    with pytest.raises(DataError, match=message):
        read(dataset("conll", **{"types": NEWS} | keys), text)


def test_other_borders_of_documents(read):
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


def test_spaces_in_cells_and_empty_last_cells(read):
    (sentence,) = read(dataset("conll", types=NEWS), "New York\tB-LOC\t\nof\tO\n")
    assert (sentence.tokens, sentence.spans) == (("New York", "of"), (Span(0, 1, "LOC"),))


def test_null_bytes(read):
    with pytest.raises(DataError, match=":2: holds a null byte"):
        read(dataset("conll"), "a\tO\nb\0\tO\n")


# ------------------------------------------------------------------------------ flaws
def test_flaws_of_a_file_are_listed_in_one_message(read, tmp_path, monkeypatch):
    """The first ones; a file lists all."""
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    text = "\tO\na\tO\n" * 7
    with pytest.raises(DataError) as error:
        read(dataset("conll"), text)
    path = tmp_path / "file0.txt"
    (listed,) = (tmp_path / "runs" / "flaws").iterdir()
    assert listed.read_text().splitlines() == [f"{path}:{at}: empty token" for at in range(1, 14, 2)]
    assert str(error.value).split("\n") == [
        *(f"{path}:{number}: empty token" for number in (1, 3, 5, 7, 9)),
        f"and 2 more: {listed} lists all",
        "`flaws: drop` in the corpus' file leaves such lines or mentions out, and counts them",
    ]


def test_dropped_flaws_are_counted(read):
    """In the next sentence, or in the last one if none follows; a sentence can lose all its tokens."""
    text = " \tB-Disease\n\na\tB-Disease\n\tI-Disease\nb\tI-Disease\n\n\u3000\tO\n"
    (sentence,) = read(dataset("conll", flaws="drop"), text)
    assert (sentence.tokens, sentence.spans) == (("a", "b"), (Span(0, 2, "Disease"),))
    assert sentence.treated == ("dropped_flaws",) * 3


GERMEVAL = """\
#\thttp://example.org/1\t[2010-07-04]\t
1\tBern\tB-LOC\tO
2\tWater\tB-ORG\tB-LOC
3\tBoard\tI-ORG\tI-ORG

#\thttp://example.org/2\t[2010-07-05]\t
1\t#\tO\tS-ORG
"""


def test_other_levels_are_counted_and_a_first_column_may_be_a_comment(read):
    columns = ["index", "token", "tag", "tag:inner"]
    first, second = read(dataset("conll", types=NEWS, columns=columns), GERMEVAL)
    assert surfaces([first]) == [("LOC", "Bern"), ("ORG", "Water Board")]
    assert second.tokens == ("#",)
    # I-ORG after B-LOC goes on; nothing of this level is read, whatever its types are.
    assert (first.treated, second.treated) == (("other_level_mentions",), ("other_level_mentions",))


def test_commas_and_quoted_cells(read):
    text = '-DOCSTART-,O\n,O\nBern,B-LOC\n",",O\n"a ""b""",O\n,O\n,O\nWater,B-ORG\n'
    first, second = read(dataset("conll", types=NEWS, separator="comma"), text)
    assert first.tokens == ("Bern", ",", 'a "b"') and first.document == second.document
    assert surfaces([first, second]) == [("LOC", "Bern"), ("ORG", "Water")]
    with pytest.raises(DataError, match=":2: no CSV"):
        read(dataset("conll", types=NEWS, separator="comma"), 'a,O\n"b,O\n')


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (",", 2),
        (",O,", 2),
        ('"",O', 2),
        (",,O", ":2: expected token, tag .separated by a comma., found 3 column"),
        ("O", ":2: expected token, tag .separated by a comma., found 1 column"),
        (",B-LOC", ":2: empty token"),
        ("\u00a0,O", ":2: empty token"),
        (" ,O", ":2: empty token"),
    ],
)
def test_a_border_of_sentences_with_commas(read, line, found):
    """A malformed line does not cut a sentence in two."""
    settings, text = dataset("conll", types=NEWS, separator="comma"), f"a,O\n{line}\nb,O\n"
    if found == 2:
        assert len(read(settings, text)) == 2
        return
    with pytest.raises(DataError, match=found):
        read(settings, text)


def test_byte_order_marks_of_joined_files(read):
    text = "\ufeffa\tO\n\n\ufeffBern\tB-LOC\n\ufeff\n\ufeff-DOCSTART-\tO\nb\tO\n"
    rows = read(dataset("conll", types=NEWS), text)
    assert [(row.tokens, row.document) for row in rows] == [
        (("a",), None), (("Bern",), None), (("b",), "file0.txt-1"),
    ]  # fmt: skip
    text = '{"tokens": ["a"], "ner_tags": ["O"]}\n'
    assert len(read(dataset("jsonl"), f"{text}\ufeff{text}")) == 2


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "cp1252"])
def test_other_encodings_are_named(read, encoding):
    with pytest.raises(DataError, match=r"file0.txt:1: .*: save it as UTF-8$"):
        read(dataset("conll"), "Zoë\tO\n".encode(encoding))


def test_a_header_is_skipped_where_it_is_declared(read):
    text = "Word\tTag\nBern\tB-LOC\n"
    (sentence,) = read(dataset("conll", types=NEWS, header=True), text)
    assert sentence.tokens == ("Bern",)
    with pytest.raises(DataError, match=":1: unknown tag 'Tag'"):
        read(dataset("conll", types=NEWS), text)


def test_bare_types(read):
    text = "a\tLOC\nb\tLOC\nc\tORG\nd\tO\ne\tI-ORG\n"
    (sentence,) = read(dataset("conll", types=NEWS, scheme="io"), text)
    assert sentence.spans == (Span(0, 2, "LOC"), Span(2, 3, "ORG"), Span(4, 5, "ORG"))
    assert sentence.repaired == 0
    (sentence,) = read(dataset("jsonl", types=NEWS, scheme="io"), '{"tokens": ["a"], "ner_tags": ["LOC"]}')
    assert sentence.spans == (Span(0, 1, "LOC"),)
    hyphens = {"person-actor": "actor", "person_actor": "another type"}
    (sentence,) = read(dataset("conll", types=hyphens, scheme="io"), "a\tperson-actor\nb\tperson_actor\n")
    assert sentence.spans == (Span(0, 1, "person-actor"), Span(1, 2, "person_actor"))
    with pytest.raises(DataError, match=":1: unknown tag 'B-LOC'; types are ORG, LOC$"):
        read(dataset("conll", types=NEWS, scheme="io"), "a\tB-LOC\n")
    for format, text in (("conll", "a\tLOC\n"), ("jsonl", '{"tokens": ["a"], "ner_tags": ["LOC"]}')):
        with pytest.raises(
            DataError, match=":1: unknown tag 'LOC'; types are ORG, LOC: declare `scheme: io`$"
        ):
            read(dataset(format, types=NEWS), text)


def test_all_unknown_types_are_named_at_once(read):
    text = "a\tB-LOC\nb\tB-new_one\nc\tB_PER\n\nd\tI-new_one\ne\tB-other\nf\t[x]\n"
    with pytest.raises(DataError) as caught:
        read(dataset("conll", types=NEWS), text)
    message = str(caught.value)
    assert ":2: unknown tag 'B-new_one'; types are ORG, LOC" in message
    assert message.endswith("; other unknown types: PER, other")
    with pytest.raises(DataError) as caught:
        read(dataset("conll", types=NEWS, private=True), text)
    assert "new_one" not in str(caught.value) and "PER" not in str(caught.value)
