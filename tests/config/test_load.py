"""Models, corpora and studies: what is wrong is refused with file and key."""

import ast
import json
import re

import pytest
import yaml
from conftest import SMALL, TAGGER, WRITER, refused

from ner_utils import config, paths
from ner_utils.data import perturb


def test_every_model_and_corpus_loads():
    assert all(config.load_model(name).label for name in config.names("models"))
    for name in config.names("datasets"):
        assert set(config.load_dataset(name).splits) == {"train", "dev", "test"}


def test_a_warm_up_of_all_steps_is_refused(params):
    """transformers would take 1.0 for a single step."""
    params.edit(TAGGER, "warmup_fraction: 0.1", "warmup_fraction: 1.0")
    assert "1.0 as one step" in refused(config.load_model, "tagger")
    params.edit(TAGGER, "warmup_fraction: 1.0", "warmup_fraction: 0.99")
    assert config.load_model("tagger")


def test_a_seed_that_numpy_would_refuse(params):
    params.edit(SMALL, "seeds: [1, 2]", "seeds: [4294967296]")
    assert "less than 4294967296" in refused(config.load_study, "small")


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        pytest.param(TAGGER, "epochs: 2", "epoch: 2", "training.epoch: unknown key", id="unknown key"),
        pytest.param(TAGGER, "epochs: 2", "", "training.epochs: Field required", id="missing key"),
        pytest.param(TAGGER, "epochs: 2", "epochs: two", "training.epochs: Input should be", id="word"),
        pytest.param(TAGGER, "epochs: 2", "epochs: 2.5", "found 2.5", id="fraction"),
        pytest.param(TAGGER, "epochs: 2", "epochs: 0", "greater than 0, found 0", id="zero"),
        pytest.param(
            TAGGER,
            "learning_rate: 2.0e-4",
            "learning_rate: 5e-5",
            "training.learning_rate: Input should be a valid number, found '5e-5' "
            "(a string: YAML reads 5e-5 as text, write 5.0e-5)",
            id="5e-5",
        ),
        pytest.param(TAGGER, "learning_rate: 2.0e-4", "learning_rate: .nan", "learning_rate", id="nan"),
        pytest.param(TAGGER, "_fraction: 0.1", "_fraction: 10", "less than or equal to 1", id="percent"),
        pytest.param(TAGGER, "linear", "exponential", "found 'exponential'", id="unknown schedule"),
        pytest.param(TAGGER, "approach: tagging", "approach: tag", "'tagging', 'gliner'", id="approach"),
        pytest.param(TAGGER, "approach: tagging\n", "", "approach", id="no approach"),
        pytest.param(TAGGER, "a" * 40, "main", "weights.hub.revision: ", id="a branch as revision"),
        pytest.param(TAGGER, "hub:", "hub: null #", "exactly one of the keys", id="no weights"),
        pytest.param(TAGGER, "weights:", "weights:\n  folder: x", "exactly one of", id="two weights"),
        pytest.param(WRITER, "r: 8", "rank: 8", "lora.rank: unknown key", id="unknown key in a flow"),
        pytest.param(WRITER, "label: A", "attention: causal\nlabel: A", "attention: unknown key", id="mask"),
        pytest.param(WRITER, "nf4", "int8", "quantisation: Input should be 'nf4'", id="unknown quantisation"),
        pytest.param("datasets/small", "dev:", "valid:", "splits.valid", id="unknown split"),
        pytest.param(
            "datasets/small", "  dev: {file: dev.tsv, sentences: 2}\n", "", "splits lacks dev", id="no dev"
        ),
        pytest.param("datasets/small", "LOC: location", "LOC: Person", "share one name", id="one word twice"),
        pytest.param("datasets/small", "conll", "xlsx", "format: Input should be", id="unknown format"),
        pytest.param("datasets/small", "conll", "conll\nscheme: x", "'bilou', 'bmes' or 'io'", id="scheme"),
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
        pytest.param(
            SMALL,
            "systems:",
            "main_systems: [reader]\nsystems:",
            "main_systems names 'reader'; systems are encoder, writer, untrained",
            id="unknown main system",
        ),
        pytest.param(
            "datasets/small", "label:", "private: true\nquotable: true\nlabel:", "never quoted", id="private"
        ),
        pytest.param(SMALL, "[[encoder, writer]]", "[[encoder]]", "at least 2 items", id="half a pair"),
        pytest.param(
            SMALL, "[[encoder, writer]]", "[[writer, writer]]", "cannot be compared with itself", id="itself"
        ),
        pytest.param(
            SMALL, "[[encoder, writer]]", "[[encoder, writer], [writer, encoder]]",
            "protocol.comparisons names one twice", id="a pair twice",
        ),
        pytest.param(
            SMALL, "train_sentences: 2", "seeds: [1, 1]", "systems.encoder.seeds names one twice",
            id="a system's seed twice",
        ),
        pytest.param(SMALL, "[1, 2]", "[]", "seeds: ", id="no seed"),
        pytest.param(SMALL, "[1, 2]", "[1, 1]", "seeds names one twice", id="a seed twice"),
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
            SMALL, "train_sentences: 2", "overrides: {training.epochs: 1, training: {}}",
            "systems.encoder.overrides: both training and training.epochs are set", id="a key within a key",
        ),
        pytest.param(
            SMALL, "train_sentences: 2", "overrides: {lora.r: 1}",
            "lora.r: lora is null, so that it has no r: set all of lora", id="a key of null",
        ),
        pytest.param(
            SMALL, "train_sentences: 2", "overrides: {training.epochs: many}",
            "tagger.yaml with params", id="wrong type in overrides",
        ),
    ],
)  # fmt: skip
def test_refused_with_file_and_key(params, name, old, new, message):
    params.edit(name, old, new)
    found = refused(config.load_study, "small")
    assert message in found.replace(str(params.folder), "params")
    assert ".yaml" in found


@pytest.mark.parametrize("load", [config.load_model, config.load_dataset, config.load_study])
@pytest.mark.parametrize("name", ["nothing", "../models/tagger"])
def test_a_missing_file_lists_what_exists(params, load, name):
    message = refused(load, name)
    known = {"load_model": "tagger, writer", "load_dataset": "small", "load_study": "small"}
    assert message.endswith(f"there are: {known[load.__name__]} (params/README.md says how to add one)")


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
    params.edit(SMALL, "  dev_sample: 2", "  dev_sample: 2\n  dev_predictions: 2")
    params.edit(SMALL, "  untrained:", f"  other: {system}\n  untrained:")
    assert message in refused(config.load_study, "small")


def test_a_disturbed_system_is_no_member_of_an_ensemble(params):
    params.edit(SMALL, "  dev_sample: 2", "  dev_sample: 2\n  dev_predictions: 2")
    added = "  typed: {model: writer, label: T, weights_of: writer, perturbed: typos 5 %}\n"
    added += "  both: {ensemble_of: [encoder, typed], label: E}\n  untrained:"
    params.edit(SMALL, "  untrained:", added)
    assert "typed predicts no dev sentences" in refused(config.load_study, "small")


def test_an_ensemble_needs_dev_predictions(params):
    params.edit(SMALL, "  untrained:", "  both: {ensemble_of: [encoder, writer], label: E}\n  untrained:")
    assert "learns from protocol.dev_predictions" in refused(config.load_study, "small")


@pytest.mark.parametrize(
    ("system", "message"),
    [
        ("{model: writer, weights_of: nobody}", "expected a system that is trained"),
        ("{model: writer, weights_of: untrained}", "expected a system that is trained"),
        ("{model: tagger, weights_of: writer}", "approach must be that of writer"),
        ("{model: writer, weights_of: writer, train_sentences: 1}", "not trained"),
        ("{model: writer, weights_of: seldom}", "other.weights_of: seldom lacks seed 2"),
        ("{model: writer, weights_of: writer, overrides: {output_format: bio}}", "output_format must be"),
    ],
)
def test_refused_weights_of_another(params, system, message):
    seldom = "seldom: {model: writer, label: S, seeds: [1]}"
    params.edit(SMALL, "  untrained:", f"  {seldom}\n  other: {system}\n  untrained:")
    assert message in refused(config.load_study, "small")


def test_a_key_of_older_files_is_named_with_its_new_name(params):
    message = refused(config.load_study, "small", "protocol.looks=3")
    assert message == "override 'protocol.looks=3': protocol.looks: unknown key, now called dev_evaluations"
    params.edit(SMALL, "dev_evaluations: 2", "looks: 2")
    params.edit(SMALL, "title:", "beside: [other]\ntitle:")
    lines = refused(config.load_study, "small").splitlines()
    for line in (
        "protocol.looks: unknown key, now called dev_evaluations",
        "beside: unknown key, now called companions",
    ):
        assert f"{params.path(SMALL)}: {line}" in lines


def test_a_model_takes_the_weights_of_another(params):
    own = "weights:\n  hub: {repo: someone/something, revision: " + "a" * 40 + "}"
    params.edit("models/tagger", own, "weights: writer")
    assert config.load_model("tagger").weights == config.load_model("writer").weights
    params.edit("models/tagger", "weights: writer", "weights: tagger")
    message = "params/models/tagger.yaml: weights: expected a model with weights of its own, found 'tagger'"
    assert refused(config.load_model, "tagger").endswith(message)
    params.edit("models/tagger", "weights: tagger", "weights: unknown")
    assert "params/models/unknown.yaml: no such file" in refused(config.load_model, "tagger")


# --------------------------------------------------------------------------- no dead keys
@pytest.fixture(scope="module")
def attributes():
    """Names that some code reads as an attribute: in the package, the notebooks and the Snakefile."""
    sources = [path.read_text(encoding="utf-8") for path in (paths.ROOT / "ner_utils").rglob("*.py")]
    for path in paths.NOTEBOOKS.glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        sources += ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    found = set(re.findall(r"\.(\w+)", (paths.ROOT / "Snakefile").read_text(encoding="utf-8")))
    nodes = (node for source in sources for node in ast.walk(ast.parse(source)))
    return found | {
        node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }


def test_every_key_is_read_and_explained(sections, attributes):
    """A key that nothing reads only seems to be a setting. params/README.md must name all."""
    text = (paths.ROOT / "params" / "README.md").read_text(encoding="utf-8")
    for section in sections:
        for key in section.model_fields:
            assert key in attributes, f"{section.__name__}.{key}"
            assert re.search(rf"\b{key}\b", text), f"{section.__name__}.{key}"
    assert all(f"`{kind}`" in text for kind in perturb.KINDS)


def test_params_hold_only_yaml_and_its_explanation():
    for path in paths.PARAMS.rglob("*"):
        if path.is_file() and path != paths.PARAMS / "README.md":
            assert path.suffix == ".yaml", path
            assert yaml.safe_load(path.read_text(encoding="utf-8"))


def test_a_study_without_comparisons_has_systems_to_show(params):
    params.edit(SMALL, "[[encoder, writer]]", "[[encoder, untrained]]")
    assert config.load_study("small").first_pair == ("encoder", "untrained")
    params.edit(SMALL, "[[encoder, untrained]]", "[]")
    assert config.load_study("small").first_pair == ("encoder", "writer")
