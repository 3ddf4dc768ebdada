"""Damage to stored files: one flipped byte in any of them is noticed, and the message names the file."""

import random

import pytest

from ner_utils import paths, sealed
from ner_utils.results import findings, stale, study
from ner_utils.sealed import ResultError

VALUES = {"f1": 0.25, "types": {"PER": [1, 2]}, "text": "Łódź\u2028", "nested": {"sha256": "no seal"}}


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "folder" / "values.json"
    sealed.write_json(path, VALUES)
    assert sealed.read_json(path, "") == VALUES
    assert list(path.parent.iterdir()) == [path]


def test_every_single_bit_counts(tmp_path):
    path = tmp_path / "values.json"
    sealed.write_json(path, VALUES)
    whole = path.read_bytes()
    for at in range(len(whole)):
        for bit in (1, 32):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
            with pytest.raises(ResultError, match=r"values.json: damaged or edited, .*; make it again"):
                sealed.read_json(path, "make it again")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"f1": 1}', b"\xff\xfe", b"{}\n"])
def test_what_is_no_sealed_file_is_named(tmp_path, content):
    path = tmp_path / "values.json"
    path.write_bytes(content)
    with pytest.raises(ResultError, match=r"values.json: damaged"):
        sealed.read_json(path, "")
    path.write_bytes(content)
    path.unlink()
    with pytest.raises(ResultError, match=r"values.json: cannot be read \(No such file"):
        sealed.read_json(path, "")


def load():
    results = study.load_results("plain", "protocol.resamples=50 ")
    for name in findings.NAMES:
        findings.study_findings(results, name)


def places(size):
    """Where a file of so many bytes is damaged: at its ends, and at places in between."""
    chance = random.Random(size)
    return {0, size - 1, *(chance.randrange(size) for _ in range(6))}


def test_a_flipped_byte_in_any_stored_file_is_found(made_up):
    made_up()
    load()
    files = [path for path in (paths.RESULTS / "plain").rglob("*") if path.is_file()]
    assert {path.name.partition("-")[0] for path in files} == {
        "audit.json", "differences.json", "confidence.json", "contamination.json", "manifest", "metrics.json",
        "counts.jsonl", "predictions.jsonl", "dev.jsonl", "efficiency.json",
    }  # fmt: skip
    for path in files:
        whole = path.read_bytes()
        for at in places(len(whole)):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            with pytest.raises(ResultError) as caught:
                load()
            assert path.name in str(caught.value), "the message names the file"
            assert "run make study STUDY=plain" in str(caught.value)
            assert len(str(caught.value)) < 400  # most of it the folder of the test
        path.write_bytes(whole)
    load()


def test_a_flipped_byte_makes_scores_and_comparisons_again(made_up):
    """What follows from the predictions is made again by itself; predictions are not."""
    results = made_up()
    runs = [item.run for item in results.stored]
    assert [file for file, _ in stale.unfit_files(runs)] == []
    folder = paths.RESULTS / "plain" / "demo"
    for path in (folder / "audit.json", folder / "confidence.json", runs[0].results / "metrics.json"):
        whole = path.read_bytes()
        path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
        assert [file for file, _ in stale.unfit_files(runs)] == [path]
        path.write_bytes(whole)
    for change, names in (
        ({"resamples": 7}, ["differences.json", "confidence.json"]),
        ({"comparisons": []}, ["differences.json"]),
    ):
        edited = [run.model_copy(update=change) for run in runs]
        assert [file.name for file, _ in stale.unfit_files(edited)] == names
    counts = runs[0].results / "counts.jsonl"
    counts.write_bytes(counts.read_bytes().replace(b"1", b"2", 1))
    assert [file for file, _ in stale.unfit_files(runs)] == [runs[0].results / "metrics.json"]


def test_a_list_of_files_shows_which_one_changed(tmp_path):
    table, figure, digests = (tmp_path / "a" / "t.tex", tmp_path / "b" / "f.pdf", tmp_path / "a" / "d.json")
    for path in (table, figure):
        path.parent.mkdir()
        path.write_bytes(b"12.3")
    sealed.seal_files(digests, [table, figure], "delete both and run make thesis")
    sealed.verify_files(digests, "")
    for path in (table, figure):
        path.write_bytes(b"99.9")
        with pytest.raises(ResultError, match=rf"{path.name}: changed since .*; delete both and run"):
            sealed.verify_files(digests, "")
        path.write_bytes(b"12.3")
    figure.unlink()
    with pytest.raises(ResultError, match=r"f.pdf"):
        sealed.verify_files(digests, "")
