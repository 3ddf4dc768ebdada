"""Files: every changed byte is noticed, and the message about a full disk names the file."""

import errno
import hashlib
import os
from collections import namedtuple

import pytest

from ner_utils import files, sealed


# -------------------------------------------------------------------------- checksums
@pytest.fixture
def folder(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "weights").write_bytes(bytes(range(100)))
    (tmp_path / "inner" / "state").write_bytes(b"abc")
    files.write_checksums(tmp_path)
    return tmp_path


def test_checksums_are_sha256_and_leave_themselves_out(folder):
    # FIPS 180-2, appendix B.1
    assert files.sha256(folder / "inner/state").startswith("ba7816bf8f01cfea414140de5dae2223b00361a396177a9c")
    assert hashlib.sha256(b"abc").hexdigest() in (folder / files.CHECKSUMS).read_text()
    files.write_checksums(folder)
    assert files.verify_checksums(folder) == []


@pytest.mark.parametrize("name", ["weights", "inner/state", files.CHECKSUMS])
def test_any_flipped_byte_is_noticed(folder, name):
    file = folder / name
    content = file.read_bytes()
    for at in range(len(content)):
        file.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        assert files.verify_checksums(folder), f"byte {at} of {name}"
    file.write_bytes(content)
    assert files.verify_checksums(folder) == []


def test_a_file_is_read_once_until_it_changes(folder, monkeypatch):
    read = []
    monkeypatch.setattr(files, "sha256", lambda path: read.append(path) or str(len(read)))
    assert files.sha256_once(folder / "weights") == files.sha256_once(folder / "weights") == "1"
    os.utime(folder / "weights", (1, 1))
    assert files.sha256_once(folder / "weights") == "2"


def test_missing_and_truncated_files(folder):
    (folder / "weights").write_bytes(bytes(range(99)))
    assert files.verify_checksums(folder) == ["weights"]
    (folder / "inner" / "state").unlink()
    assert files.verify_checksums(folder) == ["inner/state", "weights"]
    (folder / files.CHECKSUMS).write_text("[]")
    assert files.verify_checksums(folder) == [files.CHECKSUMS]
    assert files.verify_checksums(folder / "nowhere") == [files.CHECKSUMS]


def test_checksums_of_named_files(tmp_path):
    for name in ("record", "other"):
        (tmp_path / name).write_text(name)
    files.write_checksums(tmp_path, ["record"])
    (tmp_path / "other").write_text("changed")
    assert files.verify_checksums(tmp_path) == []
    (tmp_path / "record").write_text("changed")
    assert files.verify_checksums(tmp_path) == ["record"]


# -------------------------------------------------------------------------- a full disk
def test_a_file_that_does_not_fit(tmp_path):
    (tmp_path / ".training.json.partial").symlink_to("/dev/full")
    file = tmp_path / "training.json"
    with pytest.raises(OSError, match="No space left on device") as caught, files.naming(file):
        sealed.write_json(file, {"a": 1})
    assert caught.value.errno == errno.ENOSPC
    assert str(file) in str(caught.value)


def test_errors_of_safetensors_and_of_quotas(tmp_path):
    """The words are from a disk that was full. The newest file is the one that was being written."""
    (tmp_path / "old").write_text("old")
    os.utime(tmp_path / "old", (1, 1))
    (tmp_path / "checkpoint-3").mkdir()
    (tmp_path / "checkpoint-3" / "optimizer.pt").write_text("half")
    words = "Error while serializing: I/O error: No space left on device (os error 28)"
    for error in (RuntimeError(words), OSError(errno.EDQUOT, "Disk quota exceeded")):
        with pytest.raises(OSError) as caught, files.naming(tmp_path):
            raise error
        assert caught.value.filename == str(tmp_path / "checkpoint-3" / "optimizer.pt")


@pytest.mark.parametrize(("free", "full"), [(4096, True), (10**9, False)])
def test_errors_of_torch_give_no_reason(tmp_path, monkeypatch, free, full):
    """If hardly any space is left, that is the reason; else the error is raised as it is."""
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(files.shutil, "disk_usage", lambda path: usage(free))
    error = RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534")
    with pytest.raises(OSError if full else RuntimeError), files.naming(tmp_path / "not" / "there"):
        raise error


def test_other_errors_are_raised_as_they_are(tmp_path):
    for error in (FileNotFoundError(2, "No such file", "x"), ValueError("y"), PermissionError(13, "no")):
        with pytest.raises(type(error)) as caught, files.naming(tmp_path):
            raise error
        assert caught.value is error
