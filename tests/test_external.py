"""Predictions of other people: read whatever the separators, and scored like ours."""

import numpy as np
import pytest
from seqeval.metrics import f1_score

from ner_utils import external
from ner_utils.data.corpus import DataError

GOLD = "-DOCSTART- O\n\nAnna\tB-PER\nof\tO\nBern\tB-LOC\n\n\nRome\tB-LOC\n"
FIRST = "-DOCSTART- -X- O\r\n\r\nAnna NNP B-PER\r\nof IN O\r\nBern NNP B-PER\r\n\r\nRome NNP S-LOC"
SECOND = "Anna I-PER\nof O\nBern I-LOC\n \nRome O\n"


@pytest.fixture
def files(tmp_path):
    """Reads of texts that are written to files first."""

    def make(*texts):
        paths = [tmp_path / f"{at}.conll" for at in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            path.write_bytes(text.encode())
        return [external.read(path) for path in paths]

    return make


def test_read_score_and_compare(files):
    gold, first, second = files(GOLD, FIRST, SECOND)
    scores = external.score(gold, first)
    assert scores.loc["micro"].tolist() == [66.67, 66.67, 66.67, 3]
    assert scores.loc["exact", "f1"] == 100
    assert scores.loc["type: LOC"].tolist() == [100, 50, 66.67, 2]
    assert external.score(gold, second).loc["micro", "f1"] == 80
    assert external.score(gold, second, discard="iob2").loc["micro", "f1"] == 0
    result = external.compare(gold, first, second, resamples=200)
    assert result["difference"] == pytest.approx(-13.3333, abs=1e-4)
    assert result["low"] <= result["difference"] <= result["high"]
    assert result["resampled"] == "sentences"  # there is one document


def test_documents_or_sentences_are_resampled(files):
    """A border at the top of a file does not make one group of all sentences; 20 documents are enough."""

    def texts(border):
        tags = [["B-X"] * 60, ["B-X" if at % 5 else "O" for at in range(60)], ["B-X", "O", "O"] * 20]
        return [
            "".join(
                f"{'-DOCSTART- O' + 2 * chr(10) if border(at) else ''}w {tag}\n\n"
                for at, tag in enumerate(row)
            )
            for row in tags
        ]

    def compared(border):
        return external.compare(*files(*texts(border)), resamples=500)

    top, none = compared(lambda at: at == 0), compared(lambda at: False)
    assert top.equals(none) and top["resampled"] == "sentences"
    assert top["low"] + 10 < top["difference"] < top["high"] - 10 and top["smallest to be found"] > 10
    assert top["p"] < 0.01
    assert compared(lambda at: at % 4 == 0)["resampled"] == "sentences"  # 15 documents
    assert compared(lambda at: at % 3 == 0)["resampled"] == "documents"  # 20


def test_equals_seqeval(files):
    chance = np.random.default_rng(0)
    tags = np.array(["O", "O", "B-A", "I-A", "B-B", "I-B"])
    rows = [[chance.choice(tags, size=n).tolist() for n in range(1, 9)] for _ in range(2)]
    texts = ["\n\n".join("\n".join(f"w {tag}" for tag in row) for row in side) for side in rows]
    result = external.score(*files(*texts)).loc["micro", "f1"]
    assert result == pytest.approx(100 * f1_score(*rows), abs=0.01)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("Anna B-PER\nin O\nBern O\n\nRome O\n", r"1.conll:2: token 'in', but .*0.conll:4 has 'of'"),
        (
            "Anna B-PER\nof O\n\nBern O\n\nRome O\n",
            r"1.conll:1: .* of 2 tokens, but .*0.conll:3 has 3",
        ),
        ("Anna B-PER\nof O\nBern O\n\nRome O\n\nOslo O\n", r"1.conll: 3 sentences, but .*0.conll has 2"),
        ("Anna B-PER\nof O\nBern O\n", r"1.conll: 1 sentences"),
        ("Anna PER\nof O\nBern O\n\nRome O\n", "1.conll:1: not a tag: 'PER'"),
        ("", "1.conll: no sentence"),
    ],
)
def test_files_that_do_not_match(files, other, message):
    with pytest.raises(DataError, match=message):
        external.score(*files(GOLD, other))


def test_a_line_of_one_column(files):
    with pytest.raises(DataError, match=r"0.conll:2: expected 2 columns, as in line 1, found 1"):
        files("Anna B-PER\nof\n")
    with pytest.raises(DataError, match=r"0.conll:1: expected a token in column 0 .*found 1"):
        files("Anna\nof\n")


def test_not_utf8(tmp_path):
    (tmp_path / "x").write_bytes(b"Z\xfcrich B-LOC\n")
    with pytest.raises(DataError, match="not UTF-8"):
        external.read(tmp_path / "x")


def test_comments_count_for_nothing(files):
    """The comment ends like a tag and is right in both files; the one mention is missed."""
    gold, first = files(*(f"# sent_id = S-12\nAda {tag}\nsings O\n" for tag in ("B-PER", "O")))
    assert gold.tokens == [("Ada", "sings")] and gold.lines == [[2, 3]]
    assert external.score(gold, first).loc["micro"].tolist() == [0, 0, 0, 1]
    (file,) = files("# id 0a1b domain=en\nAda _ _ B-PER\n\n# NN _ O\n#ner NN _ B-PER\n")
    assert (file.tokens, file.tags) == ([("Ada",), ("#", "#ner")], [["B-PER"], ["O", "B-PER"]])


def test_underscores_are_dashes(files):
    gold, first, untyped = files("a B-PER\nb I-PER\n", "a B_PER\nb I_PER\n", "a B\nb I\n")
    assert external.score(gold, first).loc["micro"].tolist() == [100, 100, 100, 1]
    with pytest.raises(DataError, match="2.conll has tags without types, .*1.conll with types"):
        external.score(first, untyped)


def test_cells_with_spaces(files):
    gold, first = files(
        "From\tO\nNew York\tB-LOC\nto\tO\nNew Delhi\tB-LOC\n",
        "From\tO\nNew York\tB-LOC\nto\tO\nNew Delhi\tO\n",
    )
    assert gold.tokens == [("From", "New York", "to", "New Delhi")]
    assert external.score(gold, first).loc["micro"].tolist() == [100, 50, 66.67, 2]
    (typed,) = files("INV-7\tB-Invoice Number\nB6\tB-vitamin B-12\t\n")
    scores = external.score(typed, typed)
    assert scores.loc[["type: Invoice Number", "type: vitamin B-12"], "support"].tolist() == [1, 1]


@pytest.mark.parametrize(
    "tags", ["B-LOC I-LOC O B-LOC", "B-LOC E-LOC O S-LOC", "B-LOC L-LOC O U-LOC", "I-LOC I-LOC O I-LOC"]
)
def test_all_schemes_give_the_same_spans(files, tags):
    gold, same = files(
        *("\n".join(f"w {tag}" for tag in row.split()) for row in ("B-LOC I-LOC O B-LOC", tags))
    )
    assert external.score(gold, same).loc["micro"].tolist() == [100, 100, 100, 2]


def test_tags_without_types(files, tmp_path):
    gold, first = files("a B\nb L\nc O\n\nd U\n", "a B\nb I\nc O\n\nd O\n")
    assert external.score(gold, first).loc["type: mention"].tolist() == [100, 50, 66.67, 2]
    for rows in (("a B", "b B-PER"), ("a B-PER", "b I")):
        with pytest.raises(DataError, match=r"0.conll:3: '.*': tags with and without types; see .*conll:1"):
            files(f"{rows[0]}\n\n{rows[1]}\n")
    typed, nothing = files("a B-PER\nb I-PER\nc O\n\nd O\n", "a O\nb O\nc O\n\nd O\n")
    for pair in ((gold, typed), (typed, gold)):
        with pytest.raises(DataError, match=r".*conll has tags without types, .*conll with types"):
            external.score(*pair)
    assert external.score(gold, nothing).loc["micro", "f1"] == 0


@pytest.mark.parametrize("tag", ["B_", "b-PER", "PER", "B-", "B- ", "X-PER", "-PER", "o", "BI-PER", "1"])
def test_a_bad_tag_is_named_with_its_line(files, tag):
    with pytest.raises(DataError, match=rf"0.conll:100: not a tag: '{tag.strip()}' "):
        files("a\tO\n\n" * 49 + f"# a comment\na\t{tag}\n")


def test_a_message_is_short_and_has_no_control_characters(files):
    with pytest.raises(DataError) as error:
        files("a \x1b[2J" + "x" * 1_000_000)
    assert len(str(error.value)) < 400 and "\x1b" not in str(error.value)
    with pytest.raises(DataError) as error:
        external.score(*files(*(f"{letter * 1_000_000} O\n" for letter in "ab")))
    assert len(str(error.value)) < 600


def test_a_column_is_chosen(tmp_path):
    path = tmp_path / "x"
    path.write_text("1 Ada B-PER S-LOC\n2 sings O O\n")
    assert external.read(path, column=2, token=1).tags == [["B-PER", "O"]]
    assert external.read(path, column=2, token=1).tokens == [("Ada", "sings")]
    assert external.read(path, column=-1).tags == external.read(path, column=3).tags == [["S-LOC", "O"]]
    for column in (4, -5):
        with pytest.raises(
            DataError, match=f":1: .* a tag in column {column} .0 is the first.*found 4 column"
        ):
            external.read(path, column=column)


def test_separator_and_scheme_are_chosen(tmp_path):
    path = tmp_path / "x"
    path.write_text("New York\tU-LOC\nof O\n")
    assert external.read(path).tokens == [("New York", "of")]
    with pytest.raises(DataError, match=":2: expected 2 columns, as in line 1, found 1"):
        external.read(path, separator="tab")
    assert external.read(path, scheme="bilou").tags == [["S-LOC", "O"]]
    with pytest.raises(DataError, match=r":1: not a tag: 'U-LOC' \(expected O, or one of B, I, E, S with"):
        external.read(path, scheme="bioes")
    path.write_text("a person-actor\nb I-person-actor\nc O\n")
    assert external.read(path, scheme="io").tags == [["I-person-actor", "I-person-actor", "O"]]
    with pytest.raises(ValueError, match="unknown scheme 'iobes'; there are iob2, iob1, bioes, bilou, bmes"):
        external.read(path, scheme="iobes")


def test_altered_tokens_are_aligned_by_position(files):
    gold, first, second = files(GOLD, FIRST.replace("Bern", "##rn"), SECOND.replace("Rome", "rome"))
    for call in (
        lambda **more: external.score(gold, first, **more),
        lambda **more: external.compare(gold, first, second, **more),
    ):
        with pytest.raises(DataError, match=r"1.conll:5: token '##rn', but .*0.conll:5 has 'Bern'"):
            call()
    scores = external.score(gold, first, by_position=True)
    assert scores.equals(external.score(*files(GOLD, FIRST)))
    result = external.compare(gold, first, second, resamples=50, by_position=True)
    assert result["a"] == scores.loc["micro", "f1"].round(4) or result["a"] == pytest.approx(66.6667)
    short, long = files("Anna O\nof O\n\nRome O\n", GOLD + "\nOslo O\n")
    with pytest.raises(DataError, match="2.*tokens"):
        external.score(gold, short, by_position=True)
    with pytest.raises(DataError, match="3 sentences, .* has 2"):
        external.score(gold, long, by_position=True)


SAME = {
    "iob2": "B I B O B",
    "iob1": "I I B O I",
    "bioes": "B E S O S",
    "bilou": "B L U O U",
    "bmes": "B E S O S",
}


@pytest.mark.parametrize("scheme", SAME)
def test_only_the_scheme_of_gold_can_be_discarded(files, scheme):
    def text(tags):
        return "".join(f"w {tag if tag == 'O' else tag + '-LOC'}\n" for tag in tags.split())

    gold, one_bad = files(text(SAME[scheme]), text(SAME[scheme]) + "w I-ORG\n")
    for other in SAME:
        if SAME[other].translate(str.maketrans("LU", "ES")) == SAME[scheme].translate(
            str.maketrans("LU", "ES")
        ):
            assert external.score(gold, gold, discard=other).loc["micro", "f1"] == 100
            continue
        for file in (gold, one_bad):
            with pytest.raises(DataError, match=rf"discard='{other}': .* is not written in that scheme"):
                external.score(file, file, discard=other)
    with pytest.raises(ValueError, match="unknown scheme 'iob'"):
        external.score(gold, gold, discard="iob")


def test_a_malformed_tag_of_gold_is_discarded_and_no_reason_to_refuse(files):
    gold, first = files("a B-PER\nb O\nc I-PER\n", "a B-PER\nb O\nc B-PER\n")
    assert external.score(gold, first, discard="iob2").loc["micro"].tolist() == [50, 100, 66.67, 1]


@pytest.mark.parametrize("name", ["micro", "exact", "first match", "type", "type: micro"])
def test_a_type_does_not_overwrite_a_row(files, name):
    """Two mentions of the type are right, one of another is missed and one is made up."""
    gold, first = files(
        f"a\tB-{name}\nb\tB-{name}\nc\tB-LOC\nd\tO\n", f"a\tB-{name}\nb\tB-{name}\nc\tO\nd\tB-LOC\n"
    )
    scores = external.score(gold, first)
    assert scores.index.is_unique
    assert scores.loc["micro"].tolist() == scores.loc["exact"].tolist() == [66.67, 66.67, 66.67, 3]
    assert scores.loc[f"type: {name}"].tolist() == [100, 100, 100, 2]
    assert scores.loc["type: LOC"].tolist() == [0, 0, 0, 1]
