"""Anybody's files: read whatever their separators, scored as ours are, refused where they do not match."""

import numpy as np
import pytest
from seqeval.metrics import f1_score

from ner_utils import external
from ner_utils.data import DataError

GOLD = "-DOCSTART- O\n\nAnna\tB-PER\nof\tO\nBern\tB-LOC\n\n\nRome\tB-LOC\n"
MINE = "-DOCSTART- -X- O\r\n\r\nAnna NNP B-PER\r\nof IN O\r\nBern NNP B-PER\r\n\r\nRome NNP S-LOC"
OTHER = "Anna I-PER\nof O\nBern I-LOC\n \nRome O\n"


@pytest.fixture
def files(tmp_path):
    """Reads of texts that are written to files first."""

    def make(*texts):
        paths = [tmp_path / f"{at}.conll" for at in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            path.write_bytes(text.encode())
        return [external.read(path) for path in paths]

    return make


def test_in_four_lines(files):
    gold, mine, other = files(GOLD, MINE, OTHER)
    scores = external.score(gold, mine)
    assert scores.loc["micro"].tolist() == [66.67, 66.67, 66.67, 3]
    assert scores.loc["exact", "f1"] == 100
    assert scores.loc["LOC"].tolist() == [100, 50, 66.67, 2]
    assert external.score(gold, other).loc["micro", "f1"] == 80
    assert external.score(gold, other, discard="iob2").loc["micro", "f1"] == 0
    found = external.compare(gold, mine, other, resamples=200)
    assert found["difference"] == pytest.approx(-13.3333, abs=1e-4)
    assert found["low"] <= found["difference"] <= found["high"]
    assert found["resampled"] == "sentences"  # there is one document


def test_what_is_resampled(files):
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
    found = external.score(*files(*texts)).loc["micro", "f1"]
    assert found == pytest.approx(100 * f1_score(*rows), abs=0.01)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("Anna B-PER\nin O\nBern O\n\nRome O\n", r"1.conll:1: another sentence than .*0.conll:3"),
        ("Anna B-PER\nof O\nBern O\n\nRome O\n\nOslo O\n", r"1.conll: 3 sentences, .*0.conll has 2"),
        ("Anna B-PER\nof O\nBern O\n", r"1.conll: 1 sentences"),
        ("Anna PER\nof O\nBern O\n\nRome O\n", "not a tag: 'PER'"),
    ],
)
def test_files_that_do_not_match(files, other, message):
    with pytest.raises(DataError, match=message):
        external.score(*files(GOLD, other))


def test_a_line_of_one_column(files):
    with pytest.raises(DataError, match=r"0.conll:2: expected a token and a tag"):
        files("Anna B-PER\nof\n")


def test_not_utf8(tmp_path):
    (tmp_path / "x").write_bytes(b"Z\xfcrich B-LOC\n")
    with pytest.raises(DataError, match="not UTF-8"):
        external.read(tmp_path / "x")
