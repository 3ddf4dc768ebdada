"""Checksums of a folder: every byte counts, and so does every file."""

import hashlib

import pytest

from ner_utils import files


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "weights").write_bytes(bytes(range(200)))
    (tmp_path / "inner" / "state").write_bytes(b"abc")
    files.write_checksums(tmp_path)
    return tmp_path


def test_sha256_is_the_published_one(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert files.sha256(tmp_path / "abc").startswith(
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61"
    )


def test_whole(folder):
    assert files.verify_checksums(folder) == []
    files.write_checksums(folder)
    assert files.verify_checksums(folder) == [], "the checksums are not among the files"
    assert hashlib.sha256(b"abc").hexdigest() in (folder / files.CHECKSUMS).read_text()


@pytest.mark.parametrize("name", ["weights", "inner/state", files.CHECKSUMS])
def test_any_flipped_byte_is_found(folder, name):
    file = folder / name
    content = file.read_bytes()
    for at in range(len(content)):
        file.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        assert files.verify_checksums(folder), f"byte {at} of {name}"
    file.write_bytes(content)
    assert files.verify_checksums(folder) == []


def test_missing_and_cut_short(folder):
    (folder / "weights").write_bytes(bytes(range(199)))
    assert files.verify_checksums(folder) == ["weights"]
    (folder / "inner" / "state").unlink()
    assert files.verify_checksums(folder) == ["inner/state", "weights"]
    (folder / files.CHECKSUMS).write_text("[]")
    assert files.verify_checksums(folder) == [files.CHECKSUMS]
    assert files.verify_checksums(folder / "nowhere") == [files.CHECKSUMS]


def test_only_the_named_files(tmp_path):
    for name in ("record", "other"):
        (tmp_path / name).write_text(name)
    files.write_checksums(tmp_path, ["record"])
    (tmp_path / "other").write_text("changed")
    assert files.verify_checksums(tmp_path) == []
    (tmp_path / "record").write_text("changed")
    assert files.verify_checksums(tmp_path) == ["record"]
