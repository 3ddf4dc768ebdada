"""brat: texts and annotations with the same names, discontinuous mentions, and what is refused."""

import pytest
from corpus_files import dataset, surfaces

from ner_utils.data.formats import registry
from ner_utils.data.formats.lines import DataError

NEWS = {"PER": "person", "LOC": "location"}
TEXT = "Ada Lovelace left\nBern. Zoë stayed.\n"
ANN = "T1\tPER 0 12\tAda Lovelace\nT2\tLOC 18 22\tBern\nR1\tleft Arg1:T1 Arg2:T2\n#1\tNote T1\tsure?\n"


@pytest.fixture
def read(tmp_path):
    def read(ann, text=TEXT, names=("a.txt", "a.ann"), **keys):
        for name, content in zip(names, (text, ann), strict=True):
            (tmp_path / name).write_text(content, encoding="utf-8")
        return list(registry.read(dataset("brat", types=NEWS, **keys), *(tmp_path / name for name in names)))

    return read


def test_mentions_of_a_text_with_several_lines(read):
    rows = read(ANN + "T3\tPER 24 27\tZoë\n")
    assert surfaces(rows) == [("PER", "Ada Lovelace"), ("LOC", "Bern"), ("PER", "Zoë")]
    assert [row.text for row in rows] == ["Ada Lovelace left", "Bern .", "Zoë stayed ."]
    assert {row.document for row in rows} == {"a"}


def test_a_mention_over_the_end_of_a_line_joins_both(read):
    rows = read("T1\tLOC 13 22\tleft Bern\n")
    assert surfaces(rows) == [("LOC", "left Bern")]
    assert rows[0].treated == ("split_mentions",)


def test_a_discontinuous_mention_covers_what_is_between_its_parts(read):
    for parts in ("0 3;13 17\tAda left", "13 17;0 3\tleft Ada", "13 17;0 3\tAda left", "13 17;0 3"):
        rows = read(f"T1\tPER {parts}\n")
        assert surfaces(rows) == [("PER", "Ada Lovelace left")]
        assert rows[0].treated == ("discontinuous_mentions",)


@pytest.mark.parametrize(
    ("ann", "message"),
    [
        ("T1\tPER 0\tAda\n", "a.ann:1: expected T1, a tab, type, start and end"),
        ("T1 PER 0 3 Ada\n", "a.ann:1: expected T1, a tab"),
        ("T1\tPER 0 3\tBob\n", "a.ann:1: the text of the mention is not at its offsets"),
        ("T1\tPER 90 93\tAda\n", "a.ann:1: the text of the mention is not at its offsets"),
        ("T1\tPER 0 3;13 17\tAda stayed\n", "a.ann:1: .* is not at its offsets"),
        ("\nT1\tORG 0 3\tAda\n", "a.ann:2: unknown type 'ORG'"),
        ("T1\tPER 0 3\tAda\nT2\tPER 0 12\tAda Lovelace\n", "overlap; declare `overlaps: longest`"),
    ],
)
def test_annotations_that_are_refused(read, ann, message):
    with pytest.raises(DataError, match=message):
        read(ann)


@pytest.mark.parametrize(
    ("places", "documents"),
    [
        (("a/1.txt", "a/1.ann", "b/1.txt", "b/1.ann"), ["a/1", "b/1"]),
        (("texts/a/1.txt", "marks/a/1.ann", "texts/b/1.txt", "marks/b/1.ann"), ["a/1", "b/1"]),
        (("texts/1.txt", "marks/1.ann", "texts/2.txt", "marks/2.ann"), ["1", "2"]),
        (("a/1.txt", "a/1.ann", "b/2.txt", "b/2.ann"), ["1", "2"]),
    ],
)
def test_documents_are_named_by_their_files(tmp_path, places, documents):
    for place, text in zip(places, ("Ada left", "T1\tPER 0 3\tAda\n", "Bern slept", ""), strict=True):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(text)
    files = [tmp_path / place for place in places]
    rows = list(registry.read(dataset("brat", types=NEWS), *files))
    assert [(row.document, len(row.spans)) for row in rows] == list(zip(documents, [1, 0], strict=True))
    with pytest.raises(
        DataError, match="expected a text and a file .ann of the same name; there are 2 and 1"
    ):
        list(registry.read(dataset("brat", types=NEWS), *files[:3]))


def test_a_text_without_annotations_is_refused(read):
    with pytest.raises(DataError, match=r"\.txt: expected a text and a file .ann of the same name"):
        read(ANN, names=("a.txt", "b.ann"))
