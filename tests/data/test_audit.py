"""The audit, on hand-made corpora and against the known numbers of public ones."""

import dataclasses
import json

import pytest

from ner_utils import config, data, paths
from ner_utils.config.dataset import Dataset, Split
from ner_utils.data.audit import agreement, audit, summary
from ner_utils.data.corpus import DataError, Sentence
from ner_utils.data.formats.offsets.standoff import CHANGES
from ner_utils.data.spans import Span
from ner_utils.sealed import ResultError

DATASET = Dataset(
    label="Tiny",
    description="hand-made",
    licence="none",
    language="en",
    format="jsonl",
    types={"PER": "person", "LOC": "location", "ORG": "organisation"},
    splits={split: Split(file=f"{split}.jsonl", sentences=1) for split in data.SPLITS},
)


def sentence(
    text: str, *spans: tuple[int, int, str], document: str | None = None, repaired: int = 0
) -> Sentence:
    return Sentence(text, document, tuple(text.split()), tuple(Span(*span) for span in spans), repaired)


TRAIN = [
    sentence("Ada met Ada", (0, 1, "PER"), (2, 3, "PER"), document="a"),
    sentence("Ada met ada", (0, 1, "PER"), document="a", repaired=2),
    sentence("New York City won", (0, 3, "LOC"), document="b"),
    sentence("New York City won", (0, 3, "ORG"), document="b"),
    sentence("New York City won", (0, 3, "ORG"), document="b"),
    sentence("nothing here", document="c"),
    sentence("nothing here", document="c"),
]
DEV = [sentence("nothing here"), sentence("ADA left Rio", (0, 1, "PER"), (2, 3, "LOC"), document="d")]
CORPUS = {"train": TRAIN, "dev": DEV, "test": []}


def test_by_hand():
    found = audit("tiny", DATASET, CORPUS)
    assert (found["name"], found["surfaces"], found["ambiguous_surfaces"]) == ("tiny", 3, 1)
    assert found["splits"]["train"] == {
        "sentences": 7,
        "documents": 3,
        "tokens": 22,
        "mentions": 6,
        "types": {"PER": 3, "LOC": 1, "ORG": 2},
        "empty_sentences": 2,
        "empty_share": 2 / 7,
        "sentence_tokens": {"p50": 3, "p95": 4, "max": 4},
        "mention_tokens": {"1": 3, "2": 0, "3+": 3},
        "duplicates": 3,
        "conflicting_sentences": 1,
        "conflicting_duplicates": 2,
        "repaired_tags": 2,
        "repeated_mentions": 2,
        "in_train": None,
        "unseen_mentions": None,
        "unseen_share": None,
        "unseen_mentions_cased": None,
    }
    dev = found["splits"]["dev"]
    assert dev["documents"] is None  # one of its sentences names none
    assert dev["in_train"] == 1
    assert (dev["unseen_mentions"], dev["unseen_share"], dev["unseen_mentions_cased"]) == (1, 0.5, 2)
    test = found["splits"]["test"]
    assert test["sentences"] == 0 and test["empty_share"] is None and test["unseen_share"] is None
    assert test["types"] == {"PER": 0, "LOC": 0, "ORG": 0}


def test_repeated_mentions_are_whole_tokens():
    """``Ann`` inside ``Anna`` is no second occurrence; overlapping occurrences are."""
    train = [sentence("Ann Anna", (0, 1, "PER")), sentence("a b a b a", (0, 3, "ORG"))]
    assert audit("tiny", DATASET, {"train": train})["splits"]["train"]["repeated_mentions"] == 1


def test_no_text():
    """Nothing but the corpus' name, known keys and numbers."""

    def leaves(value):
        if isinstance(value, dict):
            return [leaf for item in value.values() for leaf in leaves(item)]
        return [value]

    found = json.loads(json.dumps(audit("tiny", DATASET, CORPUS)))
    assert [leaf for leaf in leaves(found) if isinstance(leaf, str)] == ["tiny"]
    assert "Ada" not in json.dumps(found) and "York" not in json.dumps(found)


def test_mentions_that_spans_could_not_state():
    """Counted where a corpus has offsets, and nowhere else."""
    reasons = ("overlapping_mentions", "widened_mentions", "overlapping_mentions")
    offsets = dataclasses.replace(TRAIN[0], offsets=(0, 4, 8), treated=reasons)
    found = audit("tiny", DATASET, {"train": [offsets], "dev": DEV})["splits"]
    assert {reason: found["train"][reason] for reason in CHANGES} == {
        "overlapping_mentions": 2,
        "discontinuous_mentions": 0,
        "split_mentions": 0,
        "widened_mentions": 1,
    }
    assert not set(CHANGES) & set(found["dev"])


def test_flaws_that_were_dropped_are_counted_in_every_split():
    """Where a corpus drops them, and nowhere else."""
    flawed = dataclasses.replace(TRAIN[0], treated=("dropped_flaws", "widened_mentions", "dropped_flaws"))
    dropping = DATASET.model_copy(update={"flaws": "drop"})
    table = summary(audit("tiny", dropping, {"train": [flawed, *TRAIN], "dev": DEV, "test": []}))
    assert table.loc["dropped flaws"].tolist() == [2, 0, 0]
    assert "dropped_flaws" not in audit("tiny", DATASET, CORPUS)["splits"]["train"]


def test_an_unlabelled_split_has_an_audit():
    unlabelled = [dataclasses.replace(each, spans=()) for each in DEV]
    found = audit("tiny", DATASET, CORPUS | {"test": unlabelled})
    test = found["splits"]["test"]
    assert (test["mentions"], test["empty_share"], test["unseen_share"]) == (0, 1, None)
    assert summary(found).loc["share of mentions unseen in train", "test"] is None


def test_summary():
    table = summary(audit("tiny", DATASET, CORPUS))
    assert list(table.columns) == ["train", "dev", "test"]
    assert table.loc["sentences"].tolist() == [7, 2, 0]
    assert table.loc["share of sentences without a mention"].tolist() == ["28.6%", "50.0%", None]
    assert table.loc["mention tokens: 3+", "train"] == table.loc["types: PER", "train"] == 3
    assert isinstance(table.loc["tokens", "test"], int)


def write_pass(folder, which, rows):
    (folder / "annotation").mkdir(exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "annotation" / f"{which}.jsonl").write_text(text, encoding="utf-8")


def test_agreement_by_hand(tmp_path):
    assert agreement([tmp_path]) is None
    write_pass(
        tmp_path,
        "first",
        [{"id": "\u2028", "spans": [[0, 1, "PER"], [2, 3, "LOC"]]}, {"id": "2", "spans": []}],
    )
    assert agreement([tmp_path]) is None
    write_pass(
        tmp_path,
        "second",
        [{"id": "2", "spans": []}, {"id": "\u2028", "spans": [[2, 3, "ORG"], [0, 1, "PER"]]}],
    )
    assert agreement([tmp_path]) == {
        "sentences": 2,
        "first_mentions": 2,
        "second_mentions": 2,
        "f1": 0.5,
        "differing_sentences": 1,
    }


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"id": "1", "spans": []}, {"id": "1", "spans": []}], "second.jsonl:2: 1 occurs twice"),
        ([{"id": "1"}], "second.jsonl:1: expected"),
        ([{"id": "1", "spans": [[1, 2]]}], "second.jsonl:1: expected"),
        ([{"id": "2", "spans": []}], "different sentences"),
    ],
)
def test_agreement_refuses(tmp_path, rows, message):
    write_pass(tmp_path, "first", [{"id": "1", "spans": []}])
    write_pass(tmp_path, "second", rows)
    with pytest.raises((DataError, ResultError), match=message):
        agreement([tmp_path])


@pytest.fixture(scope="module")
def demo_splits(demo):
    return audit("demo", config.load_dataset("demo"), demo)["splits"]


def test_demo(demo_splits):
    splits = demo_splits.values()
    assert [(s["sentences"], s["documents"], s["mentions"]) for s in splits] == [
        (640, 160, 977),
        (160, 40, 259),
        (160, 40, 258),
    ]
    assert demo_splits["test"]["unseen_mentions"] == 214
    assert all(split["duplicates"] == split["repaired_tags"] == 0 for split in splits)
    assert not any(split["in_train"] for split in splits)
    agreed = agreement(paths.data_dirs("demo"))
    assert agreed | {"f1": round(agreed["f1"], 3)} == {
        "sentences": 960,
        "first_mentions": 1496,
        "second_mentions": 1492,
        "f1": 0.991,
        "differing_sentences": 17,
    }


def test_datasheet(demo_splits):
    """The table in the demo corpus' datasheet has the numbers of its files."""
    splits = demo_splits.values()
    sheet = (paths.CORPORA / "demo" / "DATASHEET.md").read_text(encoding="utf-8")
    rows = [[split["types"][kind] for split in splits] for kind in config.load_dataset("demo").types]
    keys = ("documents", "sentences", "empty_sentences", "tokens", "mentions", "repeated_mentions")
    rows += [[split[key] for split in splits] for key in keys]
    for row in rows:
        assert " | ".join(f"{number:,}" for number in [*row, sum(row)]) in sheet


# -------------------------------------------------------------------------- public corpora
@pytest.mark.corpora
def test_wnut17(corpora):
    splits = audit("wnut17", config.load_dataset("wnut17"), corpora("wnut17"))["splits"]
    train, dev, test = (splits[split] for split in data.SPLITS)
    assert [split["sentences"] for split in splits.values()] == [3394, 1009, 1287]
    assert [split["mentions"] for split in splits.values()] == [1975, 836, 1079]
    assert train["documents"] is None
    assert (train["duplicates"], train["conflicting_sentences"], train["conflicting_duplicates"]) == (
        103,
        11,
        13,
    )
    assert test["empty_sentences"] == 598
    # No test mention is in train in the same spelling; in lower case 24 are.
    assert test["mentions"] - test["unseen_mentions"] == 24
    assert test["unseen_mentions_cased"] == test["mentions"]
    assert test["repeated_mentions"] == 70
    assert dev["in_train"] == test["in_train"] == 0


@pytest.mark.corpora
@pytest.mark.parametrize(
    ("name", "sentences", "mentions", "overlap"),
    [
        ("bc5cdr", [4560, 4581, 4797], [9385, 9593, 9809], (19, 16)),
        ("ncbi-disease", [5424, 923, 940], [5134, 787, 960], (5, 1)),
    ],
)
def test_biomedical(corpora, name, sentences, mentions, overlap):
    splits = audit(name, config.load_dataset(name), corpora(name))["splits"]
    assert [split["sentences"] for split in splits.values()] == sentences
    assert [split["mentions"] for split in splits.values()] == mentions
    assert (splits["dev"]["in_train"], splits["test"]["in_train"]) == overlap
    assert all(sum(split["types"].values()) == split["mentions"] for split in splits.values())
