"""Corpora: how their files are found, checked and read."""

import hashlib
import json
import re

import pytest

from ner_utils import data, paths
from ner_utils.config import schema
from ner_utils.config.dataset import Dataset, Drawn, File, Split
from ner_utils.data.corpus import DataError, Sentence
from ner_utils.data.spans import Span

TYPES = {"PER": "person", "LOC": "location"}


def dataset(sentences, format="conll", **keys):
    """A dataset whose only real split is test."""
    split = {"file": "test.txt", "sentences": sentences, **keys.pop("split", {})}
    other = {"file": "none"} | ({"annotations": File(file="none")} if format == "biocreative" else {})
    other = Split(**other)
    return Dataset(
        label="Small", description="made for tests", licence="CC0 1.0", language="en", format=format,
        types=TYPES, splits={"train": other, "dev": other, "test": Split(**split)}, **keys,
    )  # fmt: skip


@pytest.fixture
def place(tmp_path, monkeypatch, no_other_corpora):
    """``place(content)`` puts a file where a corpus ``small`` is looked for."""
    monkeypatch.setenv("NER_DATA_DIR", str(tmp_path))
    path = tmp_path / "small" / "test.txt"
    path.parent.mkdir()

    def write(content):
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return path

    return write


def load(sentences, format="conll", **keys):
    return data.load_split("small", dataset(sentences, format, **keys), "test")


def row(tokens, tags, **more):
    return json.dumps({"tokens": tokens, "ner_tags": tags, **more}, ensure_ascii=False) + "\n"


# ---------------------------------------------------------------------------- CoNLL
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Ada\tB-PER\nL.\tI-PER\n\nParis\tB-LOC\n\n", id="plain"),
        pytest.param("Ada\tB-PER\nL.\tI-PER\n\t\nParis\tB-LOC\n\t\n", id="lone tabs, as in WNUT-17"),
        pytest.param("Ada\tB-PER\r\nL.\tI-PER\r\n\r\nParis\tB-LOC\r\n", id="Windows line ends"),
        pytest.param("\ufeffAda\tB-PER\nL.\tI-PER\n\nParis\tB-LOC\n", id="byte order mark"),
    ],
)
def test_conll(place, text):
    place(text)
    assert load(2) == [
        Sentence("test-000000", None, ("Ada", "L."), (Span(0, 2, "PER"),)),
        Sentence("test-000001", None, ("Paris",), (Span(0, 1, "LOC"),)),
    ]


def test_conll_repairs_and_counts(place):
    place("Ada\tI-PER\nParis\tI-LOC\n\nOslo\tB-LOC\n")
    first, second = load(2)
    assert first.spans == (Span(0, 1, "PER"), Span(1, 2, "LOC"))
    assert (first.repaired, second.repaired) == (2, 0)
    assert first.ner_tags == ["B-PER", "B-LOC"]


@pytest.mark.parametrize("token", ["a\u2028b", "\x0b", "a\x85b", "a b"])
def test_only_newlines_end_lines(place, token):
    text = f"x{token}\tB-PER\nb\tO\n"
    place(text)
    assert load(1)[0].tokens == (f"x{token}", "b")
    place(row([f"x{token}", "b"], ["B-PER", "O"]))
    assert load(1, "jsonl")[0].tokens == (f"x{token}", "b")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        pytest.param("Ada\tB-PER\nLovelace\n", 2, "found 1 column", id="a column too few"),
        pytest.param("Ada\tNNP\tB-PER\n", 1, "found 3 column", id="a column too many"),
        pytest.param("a\tO\nb\tB-ORG\n", 2, "unknown tag 'B-ORG'; types are PER, LOC", id="unknown type"),
        pytest.param("a\tO\nb\tO \n", 2, "unknown tag 'O '", id="white space after a tag"),
        pytest.param("a\tO\nZoë\tB-PER\n".encode("latin-1"), 2, "not UTF-8", id="latin-1"),
        pytest.param("a\tO\n".encode("utf-16"), 1, "not UTF-8", id="utf-16"),
        pytest.param("a\tO\n\ufeffb\tO\n\n\ufeff\tO\tO\n", 4, "found 3", id="mark in the middle"),
    ],
)
def test_broken_conll(place, text, line, message):
    path = place(text)
    with pytest.raises(DataError, match=rf"^{re.escape(str(path))}:{line}: .*{re.escape(message)}"):
        load(1)


# ---------------------------------------------------------------------------- JSON lines
def test_jsonl(place):
    place(
        row(["Ada", "L."], ["B-PER", "I-PER"], id="s1", document="d", genre="letter")
        + row(["in", "Paris"], [0, 1])
    )
    assert load(2, "jsonl", tags=["O", "B-LOC"]) == [
        Sentence("s1", "d", ("Ada", "L."), (Span(0, 2, "PER"),)),
        Sentence("test-000001", None, ("in", "Paris"), (Span(1, 2, "LOC"),)),
    ]
    place("\ufeff" + row(["a"], ["O"]))
    assert load(1, "jsonl")[0].tokens == ("a",)


GOOD = row(["a"], ["O"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param('{"tokens": ["a"], "ner_tags": ["O"]\n', "tokens and ner_tags", id="bad JSON"),
        pytest.param("[" * 100_000 + "\n", "tokens and ner_tags", id="too deep"),
        pytest.param('{"tokens": ["a"]}\n', "ner_tags", id="no tags"),
        pytest.param(row(["a", "b"], ["O"]), "lists of one length", id="a tag too few"),
        pytest.param("null\n", "tokens and ner_tags", id="no object"),
        pytest.param(row("a", "O"), "lists of one length", id="strings"),
        pytest.param(row([], []), "non-empty", id="no tokens at all"),
        pytest.param(row(["a", 1], ["O", "O"]), "non-empty", id="a number as token"),
        pytest.param(row(["a"], ["B-ORG"]), "unknown tag 'B-ORG'; types are PER, LOC", id="unknown tag"),
        pytest.param(row(["a"], ["O"], id=7.0), "id and document must be strings", id="a fraction as id"),
        pytest.param('{"tokens": ["Zoë"], "ner_tags": ["O"]}\n'.encode("latin-1"), "UTF-8", id="latin-1"),
    ],
)
def test_broken_jsonl(place, text, message):
    text = text if isinstance(text, bytes) else text.encode()
    path = place(GOOD.encode() + text)
    with pytest.raises(DataError, match=rf"^{re.escape(str(path))}:2: .*{re.escape(message)}"):
        load(2, "jsonl")


# ------------------------------------------------------------------------- whole files
CONLL = "a\tO\n\nb\tB-PER\n\n"


@pytest.mark.parametrize(("text", "found"), [(CONLL[:4], 1), (CONLL * 2, 4), ("", 0), ("\n\n", 0)], ids=repr)
def test_sentences_are_counted(place, text, found):
    path = place(text)
    with pytest.raises(DataError, match=rf"^{re.escape(str(path))}: {found} sentences, expected 2: trunc"):
        load(2)


@pytest.mark.parametrize("cut", [1, len(CONLL) - 1])
def test_checksums_are_compared(place, cut):
    declared = {"sha256": hashlib.sha256(CONLL.encode()).hexdigest()}
    place(CONLL)
    assert len(load(2, split=declared)) == 2
    path = place(CONLL[:-cut])
    with pytest.raises(DataError, match=rf"^{re.escape(str(path))}: sha256 [0-9a-f]{{64}} differs"):
        load(2, split=declared)


def test_documents_are_counted(place):
    text = "-DOCSTART-\tO\n\na\tO\n\nb\tO\n\n-DOCSTART-\tO\n\nc\tO\n"
    path = place(text)
    assert len(load(None, split={"documents": 2})) == 3
    place(text * 2)
    with pytest.raises(
        DataError, match=rf"^{re.escape(str(path))}: 4 documents, expected 2: truncated, doub"
    ):
        load(None, split={"documents": 2})


def test_a_split_without_a_declared_number_must_not_be_empty(place):
    path = place("\n\n")
    with pytest.raises(DataError, match=rf"^{re.escape(str(path))}: 0 sentences, expected some"):
        load(None)
    place(CONLL)
    assert len(load(None)) == 2


def documents(number, sentences=3):
    return [
        Sentence(f"s{at}-{k}", f"d{at}", ("a",), ())
        for at in range(number)
        for k in range(1 + at % sentences)
    ]


def test_splits_are_drawn_by_document():
    whole = documents(40)
    splits = data.draw_splits(whole, Drawn(seed=1, dev=0.1, test=0.2))
    assert sorted(sum(splits.values(), []), key=whole.index) == whole
    places = {split: {sentence.document for sentence in members} for split, members in splits.items()}
    assert not places["train"] & places["dev"] and not places["train"] & places["test"]
    assert not places["dev"] & places["test"]
    assert 0.2 <= len(splits["test"]) / len(whole) < 0.25 and 0.1 <= len(splits["dev"]) / len(whole) < 0.15
    assert {s.document for s in splits["dev"]} == {"d2", "d4", "d8"}
    assert data.draw_splits(whole, Drawn(seed=2, test=0.2))["test"] != splits["test"]


def test_without_documents_sentences_are_drawn():
    whole = [Sentence(f"s{at}", None, ("a",), ()) for at in range(50)]
    splits = data.draw_splits(whole, Drawn(seed=1, dev=0.1))
    assert {split: len(members) for split, members in splits.items()} == {"train": 45, "dev": 5}
    with pytest.raises(DataError, match="2 sentences are too few to draw dev"):
        data.draw_splits(whole[:2], Drawn(seed=1, dev=0.1))


def test_documents_are_drawn_whole_although_some_sentences_have_none():
    loose = [Sentence(f"x{at}", None, ("a",), ()) for at in range(5)]
    whole = [*loose[:2], *documents(40), *loose[2:]]
    splits = data.draw_splits(whole, Drawn(seed=1, dev=0.1, test=0.2))
    assert sorted(sum(splits.values(), []), key=whole.index) == whole
    places = [{sentence.document for sentence in members} - {None} for members in splits.values()]
    assert sum(map(len, places)) == 40
    few = [*loose, *documents(data.corpus.LEAST - 1, sentences=10)]
    shared = [{s.document for s in each} for each in data.draw_splits(few, Drawn(seed=1, dev=0.3)).values()]
    assert shared[0] & shared[1] - {None}


def test_a_corpus_of_one_file(tmp_path, monkeypatch):
    monkeypatch.setenv("NER_DATA_DIR", str(tmp_path))
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "all.txt").write_text("a\tO\n\n" * 20)
    settings = dataset(None, "conll").model_copy(
        update={"splits": {"train": Split(file="all.txt")}, "drawn": Drawn(seed=1, dev=0.1, test=0.2)}
    )
    assert {split: len(members) for split, members in data.load("own", settings).items()} == {
        "train": 14, "dev": 2, "test": 4,
    }  # fmt: skip


def test_a_file_of_annotations_is_checked_like_the_text(place):
    abstracts = place("1\tAda met Bo.\t\n")
    mentions = abstracts.with_name("mentions.txt")
    file = {"file": mentions.name, "sha256": hashlib.sha256(b"1\tT1\tPER\t0\t3\tAda\n").hexdigest()}
    settings = dataset(None, "biocreative", split={"annotations": File(**file)})
    with pytest.raises(DataError, match="small: mentions.txt not found; looked in"):
        data.load_split("small", settings, "test")
    mentions.write_text("1\tT1\tPER\t0\t3\tAda\n")
    (sentence,) = data.load_split("small", settings, "test")
    assert sentence == Sentence(
        "test-000000", "1", ("Ada", "met", "Bo", "."), (Span(0, 1, "PER"),), offsets=(0, 4, 8, 10)
    )
    mentions.write_text("1\tT1\tPER\t8\t10\tBo\n")
    with pytest.raises(DataError, match=rf"^{re.escape(str(mentions))}: sha256"):
        data.load_split("small", settings, "test")


def test_ids_of_a_private_corpus_are_replaced(place):
    """Results contain ids, and the id of a post can lead to its text. Documents keep their sentences."""
    text = "".join(
        row([word], ["O"], id=f"t3_{word}", document=f"t3_{word[0]}") for word in ("aa", "ab", "b")
    )
    place(text)
    assert [s.id for s in load(3, "jsonl")] == ["t3_aa", "t3_ab", "t3_b"]
    hidden = load(3, "jsonl", private=True)
    assert [s.id for s in hidden] == ["test-000000", "test-000001", "test-000002"]
    assert hidden[0].document == hidden[1].document != hidden[2].document
    assert not any("t3" in s.document for s in hidden)


def test_an_id_of_the_file_that_is_like_a_given_one_is_refused(place):
    path = place(row(["a"], ["O"], id="test-000001") + row(["b"], ["O"]))
    with pytest.raises(DataError, match=rf"^{re.escape(str(path))}: two sentences share an id"):
        load(2, "jsonl")


def test_a_fetched_file_is_verified(tmp_path, monkeypatch, no_other_corpora):
    import huggingface_hub

    def fetch(local_dir, filename, **source):
        (local_dir / filename).parent.mkdir(parents=True, exist_ok=True)
        (local_dir / filename).write_text(CONLL)
        return str(local_dir / filename)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    hub = schema.HubSource(repo="someone/small", revision="0" * 40)
    right = hashlib.sha256(CONLL.encode()).hexdigest()
    assert len(load(2, hub=hub, split={"sha256": right})) == 2
    (tmp_path / "cache" / "data" / "small" / "test.txt").unlink()
    with pytest.raises(DataError, match=f"sha256 {right} differs from the declared 00"):
        load(2, hub=hub, split={"sha256": "0" * 64})


URL = "https://example.org/"
HUBS = [
    schema.HubSource(repo=repo, revision=10 * part)
    for repo, part in (("a/b", "0000"), ("a/b", "00ff"), ("c/d", "00ff"))
]


@pytest.mark.parametrize(
    "sources", [[{"hub": hub} for hub in HUBS], [{"split": {"url": URL + x}} for x in "123"]]
)
def test_another_source_is_fetched_again(tmp_path, monkeypatch, no_other_corpora, sources):
    import huggingface_hub
    import pooch

    fetched = []

    def fetch(folder, name):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{len(fetched)}\tO\n")
        fetched.append(folder)
        return str(folder / name)

    monkeypatch.setattr(
        huggingface_hub, "hf_hub_download", lambda local_dir, filename, **_: fetch(local_dir, filename)
    )
    monkeypatch.setattr(pooch, "retrieve", lambda url, checksum, name, folder, **_: fetch(folder, name))
    for _ in range(2):
        assert [load(1, **source)[0].tokens for source in sources] == [("0",), ("1",), ("2",)]
    assert len(set(fetched)) == 3
    if "hub" in sources[0]:
        assert fetched[1] == tmp_path / "cache" / "data" / "small" / "a" / "b@00ff00ff00ff"


@pytest.mark.parametrize("source", ["url", "hub"])
def test_missing_and_offline(tmp_path, monkeypatch, no_other_corpora, source):
    """The message names the folders looked in, what went wrong, and what to do."""
    monkeypatch.setenv("NER_DATA_DIR", str(tmp_path / "own"))
    keys = {"split": {"url": "https://example.org/test.txt"}}
    if source == "hub":
        keys = {"hub": schema.HubSource(repo="someone/small", revision="0" * 40)}
    with pytest.raises(DataError) as error:
        load(1, **keys)
    message = str(error.value)
    for folder in (tmp_path / "own", paths.CORPORA, tmp_path / "cache" / "data"):
        assert str(folder / "small") in message
    assert "ConnectionError: no network)" in message
    assert "Set NER_DATA_DIR to a folder that holds small/test.txt" in message
    assert "\n" not in message


def test_missing_without_a_source(tmp_path, no_other_corpora):
    with pytest.raises(DataError, match=r"^small: test\.txt not found; looked in ") as error:
        load(1)
    assert str(paths.CORPORA / "small") in str(error.value)
    assert str(tmp_path / "cache" / "data" / "small") in str(error.value)


def test_the_users_copy_comes_first(place, tmp_path):
    cached = tmp_path / "cache" / "data" / "small" / "test.txt"
    cached.parent.mkdir(parents=True)
    cached.write_text("cached\tO\n")
    assert load(1)[0].tokens == ("cached",)
    place("own\tO\n")
    assert load(1)[0].tokens == ("own",)
