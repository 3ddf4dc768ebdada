"""A full disk: the message names the file, whichever library wrote it."""

import errno
import os
from collections import namedtuple

import pytest

from ner_utils import files
from ner_utils.results import provenance


def test_a_file_of_our_own(tmp_path):
    (tmp_path / ".training.json.partial").symlink_to("/dev/full")
    file = tmp_path / "training.json"
    with pytest.raises(OSError, match="No space left on device") as caught, files.naming(file):
        provenance.write_json(file, {"a": 1})
    assert caught.value.errno == errno.ENOSPC
    assert str(file) in str(caught.value)


def test_what_safetensors_and_a_quota_say(tmp_path):
    """Words from a disk that was full; the newest file of a folder is the one that was being written."""
    (tmp_path / "old").write_text("old")
    os.utime(tmp_path / "old", (1, 1))
    (tmp_path / "checkpoint-3").mkdir()
    (tmp_path / "checkpoint-3" / "optimizer.pt").write_text("half")
    said = "Error while serializing: I/O error: No space left on device (os error 28)"
    for error in (RuntimeError(said), OSError(errno.EDQUOT, "Disk quota exceeded")):
        with pytest.raises(OSError) as caught, files.naming(tmp_path):
            raise error
        assert caught.value.filename == str(tmp_path / "checkpoint-3" / "optimizer.pt")


@pytest.mark.parametrize(("free", "full"), [(4096, True), (10**9, False)])
def test_torchs_archives_do_not_say_why(tmp_path, monkeypatch, free, full):
    """Without any space left, that is why; else the error is raised as it is."""
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(files.shutil, "disk_usage", lambda path: usage(free))
    error = RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534")
    with pytest.raises(OSError if full else RuntimeError), files.naming(tmp_path / "not" / "there"):
        raise error


def test_other_errors_are_left_alone(tmp_path):
    for error in (FileNotFoundError(2, "No such file", "x"), ValueError("y"), PermissionError(13, "no")):
        with pytest.raises(type(error)) as caught, files.naming(tmp_path):
            raise error
        assert caught.value is error
