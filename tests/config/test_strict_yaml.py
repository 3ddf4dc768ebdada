"""Reading YAML: whatever is wrong is one short message with the place, the key and what was expected."""

import re
import typing

import pytest
from conftest import SMALL, TAGGER, refused
from pydantic import BaseModel

from ner_utils import config
from ner_utils.config import schema, strict_yaml, study
from ner_utils.config.dataset import Dataset
from ner_utils.config.strict_yaml import Strict

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
)  # 9^9 values
MERGES = "m0: &m0 {x: 1}\n" + "".join(
    f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 9)}]}}\n" for n in range(1, 9)
)
LADDER = "c0: &c0 [x]\n" + "".join(f"c{n}: &c{n} [*c{n - 1}]\n" for n in range(1, 300))  # 300 deep
HOSTILE = {
    "alias bomb": BOMB,
    "bomb of merges": MERGES,
    "ladder of aliases": LADDER,
    "a list in itself": "a: &a [*a]",
    "500 brackets": "a: " + "[" * 500,
    "500 closed brackets": "a: " + "[" * 500 + "]" * 500,
    "500 mappings": "{a: " * 500,
    "5000 digits": "a: " + "9" * 5000,
    "500 digits of base 60": "a: 1" + ":10" * 500,
    "5000 digits as a key": "9" * 5000 + ": a",
    "an empty integer": "a: !!int ''",
    "no truth value": "a: !!bool x",
    "no date": "a: !!timestamp x",
    "a 45th of month 13": "a: 2024-13-45",
    "no float": "a: !!float x",
    "not base64": "a: !!binary '\u00e4'",
    "a list as an integer": "a: !!int [1]",
    "no pairs": "a: !!omap [x]",
    "a long tag": "a: !" + "t" * 10_000 + " x",
    "a long alias": "a: *" + "t" * 10_000,
    "a long text under a tag": "a: !!int '" + "x" * 100_000 + "'",
    "an escape": 'a: "\\e[2J"',
    "a lone surrogate": 'a: "\\ud800"',
    "a raw escape": "a: \x1b[2J",
    "a key with an escape": '"\\e": 1',
    "a long key twice": "? " + "k" * 1000 + "\n: 1\n? " + "k" * 1000 + "\n: 2\n",
    "a long broken line": "a: b: " + "c" * 100_000,
    "an open list": "a: [1",
    "a tab": "\tx: 1",
    "a Python object": "!!python/object:os.system {}",
    "a list as a key": "? [a]\n: 1",
}


def assert_brief(message):
    """A few lines that cannot control a terminal."""
    lines = message.split("\n")
    assert len(lines) <= 10 and max(map(len, lines)) <= 600, message[:2000]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", message)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_yaml_is_one_brief_message(text):
    message = refused(strict_yaml.read_yaml, text, "here.yaml")
    assert message.startswith("here.yaml: not valid YAML: ")
    assert_brief(message)


def test_hostile_yaml_in_a_file(params):
    params.write(SMALL, HOSTILE["a long broken line"])
    message = refused(config.load_study, "small")
    assert message.startswith(f"{params.path(SMALL)}: not valid YAML: ")
    assert_brief(message)


@pytest.mark.parametrize("text", ["title=" + "[" * 500, 'title="\\e[2J"', "seeds=[1", "x" * 100_000])
def test_hostile_overrides_are_one_brief_message(text):
    message = refused(config.load_study, "first-look", text)
    assert message.startswith("override ")
    assert_brief(message)


@pytest.mark.parametrize("text", ["x" * 100_000, "{" + ",".join(f"k{n}: 1" for n in range(900)) + "}"])
def test_long_values_are_shortened(params, text):
    """A value, and hundreds of unknown keys."""
    params.edit(TAGGER, "training:\n", f"more: {text}\ntraining:\n")
    assert_brief(refused(config.load_model, "tagger"))
    params.write(TAGGER, text if text.startswith("{") else f"approach: {text}")
    assert_brief(refused(config.load_model, "tagger"))
    assert_brief(refused(config.load_study, text))
    for override in (f"seeds={text}", f"{text}=1", f"{text}:seeds=[1]", f"model.training.epochs={text}"):
        assert_brief(refused(config.load_study, "first-look", override))


def test_merge_keys(params):
    """A mapping's own keys come before merged ones; a merged key does not occur twice."""
    text = "a: &a {x: 1, y: 2}\nb: &b {<<: *a, x: 3}\nc: {<<: *b, z: 4}\nd: {<<: [*a, *b], y: 5}\n"
    values = strict_yaml.read_yaml(text, "here.yaml")
    assert values["b"] == {"x": 3, "y": 2}
    assert values["c"] == {"x": 3, "y": 2, "z": 4}
    assert values["d"] == {"x": 1, "y": 5}
    params.edit(SMALL, "  encoder: {model: tagger, train_sentences: 2}", "  encoder: &base {model: tagger, "
                "train_sentences: 2}\n  again: {<<: *base, label: Again, train_sentences: 3}")  # fmt: skip
    systems = config.load_study("small").systems
    assert (systems["encoder"].train_sentences, systems["again"].train_sentences) == (2, 3)


def test_a_system_may_be_called_like_an_approach(params):
    params.edit(SMALL, "systems:\n", "systems:\n  tagging: {model: tagger, train: 2}\n")
    assert "small.yaml: systems.tagging.train: unknown key" in refused(config.load_study, "small")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("training:\n  epochs: 1\n  epochs: 2", "epochs"),
        ("a: [{b: 1, b: 1}]", "b"),
        ("a: &a {x: 1}\nb: {<<: *a, x: 1, x: 2}", "x"),
        ("a: &a {x: 1}\nb: {<<: *a, <<: *a}", "<<"),
    ],
)
def test_duplicate_keys(text, key):
    message = refused(strict_yaml.read_yaml, text, "here.yaml")
    assert f"key '{key}' occurs twice" in message
    assert "line" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"label: M\xfcller\n", ":1: not UTF-8 (byte 0xFC); save the file as UTF-8"),
        ("# eins\nlabel: \u00dcbung\n".encode("latin-1"), ":2: not UTF-8 (byte 0xDC)"),
        ("label: a\n".encode("utf-16"), "not UTF-8"),
        (b"label: a\0b\n", "not valid YAML"),
    ],
)
def test_files_that_are_not_utf8(params, text, message):
    params.path(TAGGER).write_bytes(text)
    found = refused(config.load_model, "tagger")
    assert found.startswith(str(params.path(TAGGER)))
    assert message in found


def test_a_byte_order_mark_is_ignored(params):
    path = params.path(TAGGER)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert config.load_model("tagger").label == "A model"


def test_a_folder_in_place_of_a_file(params):
    params.path(TAGGER).unlink()
    params.path(TAGGER).mkdir()
    assert "cannot be read" in refused(config.load_model, "tagger")


@pytest.mark.parametrize("text", ["", "# only a comment", "- a\n- list", "a word", "1"])
def test_a_file_that_is_no_mapping(params, text):
    params.write(TAGGER, text)
    message = refused(config.load_model, "tagger")
    assert message.startswith(f"{params.path(TAGGER)}: expected a mapping of keys")


@pytest.mark.parametrize(
    ("old", "new", "hint"),
    [
        ("language: en", "language: no", "found False (YAML reads it as a truth value: put it in quotes)"),
        ("label: Small", "label: 2024_06", "found 202406 (YAML reads it as a number: put it in quotes)"),
        ("label: Small", "label: 2024-06-01", "(YAML reads it as a date: put it in quotes)"),
        ("LOC: location", "NO: norm", "found False (YAML reads it as a truth value: put it in quotes)"),
    ],
)
def test_a_hint_where_yaml_reads_another_kind_of_value(params, old, new, hint):
    params.edit("datasets/small", old, new)
    assert hint in refused(config.load_dataset, "small")


def test_all_problems_are_reported_at_once(params):
    params.edit(TAGGER, "epochs: 2", "epoch: 2")
    params.edit(TAGGER, "batch_size: 8", "batch_size: -8")
    lines = refused(config.load_model, "tagger").splitlines()
    assert len(lines) == 3
    assert all(line.startswith(str(params.path(TAGGER))) for line in lines)


def test_sections_are_strict_at_every_level(sections):
    """No key takes any mapping but the overrides, which are checked where they are applied, and what a server
    gets as it is."""
    assert {Dataset, schema.Lora, study.Study, study.Protocol} <= set(sections)
    for section in sections:
        assert section.model_config["extra"] == "forbid"
        assert section.model_config["strict"] and section.model_config["frozen"]
        for key, field in section.model_fields.items():
            inner = [field.annotation, *typing.get_args(field.annotation)]
            assert key in ("overrides", "request") or typing.Any not in inner
            models = [kind for kind in inner if isinstance(kind, type) and issubclass(kind, BaseModel)]
            assert all(issubclass(kind, Strict) for kind in models)
