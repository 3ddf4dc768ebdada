"""Parquet and Arrow: columns of any name, tags by ClassLabel, several files of a split, refused files."""

import datasets
import pytest
from corpus_files import dataset

from ner_utils import data
from ner_utils.config.dataset import Split
from ner_utils.data.formats import registry
from ner_utils.data.formats.lines import DataError
from ner_utils.data.spans import Span

NEWS = {"PER": "person", "LOC": "location"}
ROWS = {"id": ["7", "8"], "tokens": [["Ada", "Lovelace"], ["in", "Bern"]], "ner_tags": [[1, 2], [0, 3]]}
LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


def table(rows=ROWS, names=LABELS, tokens="tokens", tags="ner_tags"):
    label = datasets.ClassLabel(names=names) if names else datasets.Value("int64")
    if isinstance(rows["ner_tags"][0][0], str):
        label = datasets.Value("string")
    features = {"id": datasets.Value("string"), tokens: datasets.List(datasets.Value("string"))}
    features[tags] = datasets.List(label)
    named = {"id": rows["id"], tokens: rows["tokens"], tags: rows["ner_tags"]}
    return datasets.Dataset.from_dict(named, features=datasets.Features(features))


@pytest.fixture
def write(tmp_path):
    def write(rows, name="part-0.parquet"):
        rows.to_parquet(tmp_path / name)
        return tmp_path / name

    return write


EXPECTED = [("7", (Span(0, 2, "PER"),)), ("8", (Span(1, 2, "LOC"),))]


def read(settings, *files):
    return [(sentence.id, sentence.spans) for sentence in registry.read(settings, *files)]


@pytest.mark.parametrize(
    ("rows", "keys"),
    [
        pytest.param(table(), {}, id="class labels"),
        pytest.param(table(names=None), {"tags": LABELS}, id="integers with declared names"),
        pytest.param(table(ROWS | {"ner_tags": [["B-PER", "I-PER"], ["O", "B-LOC"]]}), {}, id="strings"),
        pytest.param(table(ROWS | {"ner_tags": [["B_PER", "I_PER"], ["O", "B_LOC"]]}), {}, id="underscores"),
        pytest.param(
            table(tokens="words", tags="labels"),
            {"fields": {"tokens": "words", "ner_tags": "labels"}},
            id="other columns",
        ),
        pytest.param(
            table(ROWS | {"ner_tags": [[1, 2], [0, 3]]}, ["O", "B-PER", "L-PER", "U-LOC"]),
            {"scheme": "bilou"},
            id="another scheme",
        ),
    ],
)
def test_tables_of_all_kinds(write, rows, keys):
    assert read(dataset("parquet", types=NEWS, **keys), write(rows)) == EXPECTED


def test_arrow(tmp_path):
    table().save_to_disk(tmp_path / "saved")
    (file,) = (tmp_path / "saved").glob("*.arrow")
    assert read(dataset("parquet", types=NEWS), file) == EXPECTED


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        pytest.param(table(names=None), ":1: ner_tags are integers, .* declare `tags:`", id="no names"),
        pytest.param(table(tokens="words"), "no column tokens; there are id, words", id="no column"),
        pytest.param(table(names=["O", "B-PER", "I-PER", "B-ORG"]), "names a tag 'B-ORG'", id="unknown type"),
        pytest.param(table(ROWS | {"id": ["7", "7"]}), ":2: two sentences share an id", id="id twice"),
    ],
)
def test_tables_that_are_refused(write, rows, message):
    with pytest.raises(DataError, match=message):
        read(dataset("parquet", types=NEWS), write(rows))


def test_another_kind_of_file_is_refused(tmp_path):
    (tmp_path / "x.parquet").write_text("Ada B-PER")
    with pytest.raises(DataError, match="x.parquet: neither Parquet nor Arrow"):
        read(dataset("parquet", types=NEWS), tmp_path / "x.parquet")


def test_a_pattern_is_all_files_of_a_split(tmp_path, monkeypatch):
    monkeypatch.setenv("NER_DATA_DIR", str(tmp_path))
    (tmp_path / "news").mkdir()
    for part, rows in enumerate((ROWS, ROWS | {"id": ["9", "10"]})):
        table(rows).to_parquet(tmp_path / "news" / f"train-{part}.parquet")
    split = Split(file="train-*.parquet")
    settings = dataset("parquet", types=NEWS, splits=dict.fromkeys(data.SPLITS, split))
    assert [each.id for each in data.load_split("news", settings, "train")] == ["7", "8", "9", "10"]
    assert list(data.digests("news", settings)) == [
        f"train-*.parquet train-{part}.parquet" for part in (0, 1)
    ]
    assert all(data.at_hand("news", settings, split) for split in data.SPLITS)


def test_a_revision_without_such_files_says_what_there_is(tmp_path, monkeypatch, no_other_corpora):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda **_: None)
    files = ["README.md", "conll2003.py"]
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda *_, **__: files)
    hub = {"repo": "conll2003", "revision": "0" * 40}
    split = Split(file="data/train-*.parquet")
    settings = dataset("parquet", types=NEWS, hub=hub, splits=dict.fromkeys(data.SPLITS, split))
    with pytest.raises(DataError) as refused:
        data.load_split("news", settings, "train")
    for part in ("there are README.md, conll2003.py", "refs/convert/parquet", "eriktks/conll2003 now"):
        assert part in str(refused.value)
