"""Parquet and Arrow: columns of any name, tags by ClassLabel, several files of a split, refused files."""

import datasets
import pyarrow as pa
import pytest
from corpus_files import dataset
from pyarrow import ipc, parquet

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
        pytest.param(table(tokens="words"), "no field tokens; there are id, words", id="no column"),
        pytest.param(
            table(names=["O", "B-PER", "I-ORG", "B-LAW"]),
            "parquet: unknown tag 'I-ORG'; types are PER, LOC; other unknown types: LAW",
            id="unknown types",
        ),
        pytest.param(table(names=["O", "PER", "x", "y"]), "'PER'; .*: declare `scheme: io`", id="bare types"),
        pytest.param(table(ROWS | {"id": ["7", "7"]}), ":2: two sentences share an id", id="id twice"),
    ],
)
def test_tables_that_are_refused(write, rows, message):
    with pytest.raises(DataError, match=message):
        read(dataset("parquet", types=NEWS), write(rows))


def test_each_file_names_its_integers(write):
    other = table(
        ROWS | {"id": ["9", "10"], "ner_tags": [[3, 4], [0, 1]]}, ["O", "B-LOC", "I-LOC", *LABELS[1:3]]
    )
    strings = table(ROWS | {"id": ["11", "12"], "ner_tags": [["B-PER", "I-PER"], ["O", "B-LOC"]]})
    files = [write(rows, f"part-{at}.parquet") for at, rows in enumerate((strings, table(), other))]
    found = read(dataset("parquet", types=NEWS), *files)
    assert [spans for _, spans in found] == [spans for _, spans in EXPECTED] * 3
    with pytest.raises(DataError, match="part-1.parquet:1: ner_tags are integers"):
        read(dataset("parquet", types=NEWS), files[0], write(table(names=None), "part-1.parquet"))


def test_an_id_in_two_files(write):
    files = [write(table(), f"part-{at}.parquet") for at in (0, 1)]
    with pytest.raises(
        DataError, match="part-1.parquet:1: two sentences share an id '7': see .*part-0.parquet:1"
    ):
        read(dataset("parquet", types=NEWS), *files)


@pytest.mark.parametrize("keys", [{"fields": {"document": "x"}}, {"domain": "x"}])
def test_declared_columns_must_exist(write, keys):
    with pytest.raises(DataError, match="part-0.parquet: no field x; there are id, tokens, ner_tags"):
        read(dataset("parquet", types=NEWS, **keys), write(table()))


def test_other_columns_may_have_any_type(tmp_path):
    rows = table().data.table
    for name, kind in (("map", pa.map_(pa.string(), pa.int64())), ("view", pa.list_view(pa.int64()))):
        rows = rows.append_column(name, pa.nulls(2, kind))
    parquet.write_table(rows, tmp_path / "x.parquet")
    assert read(dataset("parquet", types=NEWS), tmp_path / "x.parquet") == EXPECTED


def test_arrow_files(tmp_path):
    """As Feather and Polars write them, whatever they are called."""
    for name in ("x.arrow", "x.feather"):
        rows = table().data.table
        with ipc.new_file(tmp_path / name, rows.schema) as file:
            file.write_table(rows)
        assert read(dataset("parquet", types=NEWS), tmp_path / name) == EXPECTED


@pytest.mark.parametrize("kind", ["text", "empty", "stream", "page"])
def test_files_of_another_kind_and_damaged_ones_are_named(tmp_path, kind):
    path = tmp_path / "x.parquet"
    many = pa.table({"tokens": [["Ada", "left"]] * 2000, "ner_tags": [["B-PER", "O"]] * 2000})
    if kind == "stream":
        with ipc.new_stream(path, many.schema) as stream:
            stream.write_table(many, max_chunksize=500)
        path.write_bytes(path.read_bytes()[:-30_000])
    elif kind == "page":
        parquet.write_table(many, path, compression="none", use_dictionary=False)
        raw = bytearray(path.read_bytes())
        raw[200:1200] = b"\xff" * 1000
        path.write_bytes(raw)
    else:
        path.write_text("Ada B-PER" if kind == "text" else "")
    with pytest.raises(DataError, match="x.parquet: neither Parquet nor Arrow ."):
        read(dataset("parquet", types=NEWS), path)


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


def news(pattern, **keys):
    return dataset("parquet", types=NEWS, splits=dict.fromkeys(data.SPLITS, Split(file=pattern)), **keys)


def test_files_with_one_name_have_digests_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setenv("NER_DATA_DIR", str(tmp_path))
    for folder, rows in (("de", ROWS), ("en", ROWS | {"id": ["9", "10"]})):
        (tmp_path / "news" / folder).mkdir(parents=True)
        table(rows).to_parquet(tmp_path / "news" / folder / "0.parquet")
    digests = data.digests("news", news("*/0.parquet"))
    assert list(digests) == ["*/0.parquet de/0.parquet", "*/0.parquet en/0.parquet"]
    assert len(set(digests.values())) == 2
    assert list(data.digests("news", news("de/*.parquet"))) == ["de/*.parquet 0.parquet"]


@pytest.mark.parametrize(
    ("pattern", "missing"),
    [
        ("train-*", "00001"),
        ("train-*-of-00003.parquet", "00001"),
        ("train-00000-*", None),
        ("*-00002-*", None),
    ],
)
def test_a_missing_part_is_named(tmp_path, monkeypatch, pattern, missing):
    """Unless the pattern does not ask for it."""
    monkeypatch.setenv("NER_DATA_DIR", str(tmp_path))
    (tmp_path / "news").mkdir()
    for part in (0, 2):
        rows = table(ROWS | {"id": [f"{part}a", f"{part}b"]})
        rows.to_parquet(tmp_path / "news" / f"train-0000{part}-of-00003.parquet")
    if missing is None:
        assert len(data.load_split("news", news(pattern), "train")) == 2
        return
    with pytest.raises(
        DataError, match=f"news/train-{missing}-of-00003.parquet not found; expected 3 parts, as"
    ):
        data.load_split("news", news(pattern), "train")


def test_an_interrupted_download_does_not_count(monkeypatch, no_other_corpora):
    import huggingface_hub

    written = []

    def fetch(local_dir, **_):
        (local_dir / "data").mkdir(parents=True, exist_ok=True)
        for part in range(len(written), 2):
            if len(written) == 1 and not again:
                raise ConnectionError("network lost")
            rows = table(ROWS | {"id": [f"{part}a", f"{part}b"]})
            rows.to_parquet(local_dir / "data" / f"train-{part}.parquet")
            written.append(part)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    settings, again = news("data/train-*.parquet", hub={"repo": "a/b", "revision": "0" * 40}), False
    for _ in range(2):
        with pytest.raises(DataError, match="ConnectionError: network lost"):
            data.load_split("news", settings, "train")
        assert not data.at_hand("news", settings, "train")
    again = True
    assert len(data.load_split("news", settings, "train")) == 4
    assert data.at_hand("news", settings, "train") and len(data.load_split("news", settings, "train")) == 4
    assert len(data.digests("news", settings)) == len(written) == 2


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
