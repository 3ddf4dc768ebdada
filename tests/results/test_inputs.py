"""What a run has read may not change under its result: corpus files without a checksum, local weights."""

import shutil

import pytest

from ner_utils import config, data, paths
from ner_utils.config import schema
from ner_utils.data import audit
from ner_utils.data.predictions import Prediction
from ner_utils.experiments import experiment
from ner_utils.results import evaluation, provenance, stale
from ner_utils.sealed import ResultError

TEXT = {"train": "Ada\tB-PER\nsings\tO\n\nBo\tB-PER\n\nin\tO\nRome\tB-LOC\n", "dev": "Al\tB-PER\n\nit\tO\n"}
TEXT["test"] = "Eve\tB-PER\nsings\tO\n\nin\tO\nOslo\tB-LOC\n"


@pytest.fixture
def files(params, tmp_path, monkeypatch):
    """The files of a small corpus, and of a local checkpoint."""
    monkeypatch.setenv("NER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    (tmp_path / "data" / "small").mkdir(parents=True)
    for split, text in TEXT.items():
        (tmp_path / "data" / "small" / f"{split}.tsv").write_text(text)
    (tmp_path / "weights").mkdir()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "weights" / name).write_text("{}")
    return tmp_path


@pytest.fixture
def run(files):
    run = config.load_run("small", "small", "encoder", 1)
    local = run.model.model_copy(update={"weights": schema.Weights(folder=str(files / "weights"))})
    return run.model_copy(update={"model": local})


def seal(run):
    gold = data.load_split("small", run.dataset, "test")
    experiment.write_results(run, [Prediction(s.id, s.spans, repaired=()) for s in gold], {}, {})
    return gold


EDITED = ["data/small/dev.tsv", "weights/model.safetensors"]


@pytest.mark.parametrize("edited", EDITED)
def test_a_result_names_the_file_that_changed_under_it(files, run, edited):
    gold = seal(run)
    evaluation.write_metrics(run, gold, evaluation.load_predictions(run, gold))
    with (files / edited).open("a") as file:
        file.write("\n")  # nothing that a reader would see
    message = rf"encoder/seed1: made from another {(files / edited).name} \(sha256 \w{{12}}, here \w{{12}}\)"
    for use in (lambda: evaluation.load_predictions(run, gold), lambda: stale.check_predictions([run])):
        with pytest.raises(ResultError, match=message):
            use()


@pytest.mark.parametrize("edited", EDITED)
def test_a_training_does_not_go_on_with_other_files(files, run, edited):
    provenance.begin_training(run)
    provenance.begin_training(run)  # interrupted, and taken up
    whole = (files / edited).read_bytes()
    (files / edited).write_bytes(whole + b"\n")
    for use in (lambda: provenance.begin_training(run), lambda: seal(run)):
        with pytest.raises(
            ResultError, match=f"made from another {(files / edited).name} .*delete this folder"
        ):
            use()
    assert not provenance.is_done(run)
    (files / edited).write_bytes(whole)
    seal(run)
    assert provenance.is_done(run)


def test_what_is_not_at_hand_cannot_have_changed(files, run):
    """A thesis is built from results where neither the corpus nor the weights are."""
    seal(run)
    for folder in ("data", "weights"):
        shutil.rmtree(files / folder)
        stale.check_predictions([run])


def test_an_audit_follows_its_corpus(files, run):
    corpus = data.load("small", run.dataset)
    audit.write_audit("small", "small", run.dataset, corpus)
    assert [file for file, _ in stale.unfit_files([run]) if file.is_file()] == []
    with (files / "data/small/dev.tsv").open("a") as file:
        file.write("\nIt\tO\n")
    assert [file for file, _ in stale.unfit_files([run]) if file.is_file()] == [
        audit.audit_file("small", "small")
    ]


def test_an_audit_follows_the_settings_of_its_corpus(files, run):
    audit.write_audit("small", "small", run.dataset, data.load("small", run.dataset))
    other = run.dataset.model_copy(update={"flaws": "drop"})
    found = [file for file, _ in stale.unfit_files([run.model_copy(update={"dataset": other})])]
    assert audit.audit_file("small", "small") in found


def test_a_file_of_a_pattern_that_is_gone_is_a_change():
    before = {"*.txt a.txt": "1", "*.txt b.txt": "2", "dev.tsv": "3"}
    assert provenance.changed(before, {"*.txt a.txt": "1"}) == ["*.txt b.txt"]
    assert provenance.changed(before, {"dev.tsv": "3"}) == []  # none of the pattern is here
    assert provenance.changed(before, {**before, "dev.tsv": "4", "*.txt c.txt": "5"}) == [
        "*.txt c.txt",
        "dev.tsv",
    ]


def test_a_fetched_file_is_verified_the_first_time(files, params, monkeypatch):
    """Also where a library that fetches does not look at checksums, as the hub's client does not."""
    import huggingface_hub

    def fetch(repo_id, filename, local_dir, **_):
        (local_dir / filename).write_text(TEXT["dev"])
        return str(local_dir / filename)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    monkeypatch.setenv("NER_CACHE_DIR", str(files / "cache"))
    monkeypatch.setenv("NER_DATA_DIR", str(files / "nowhere"))
    (files / "cache" / "data" / "small").mkdir(parents=True)
    params.edit("datasets/small", "dev: {file: dev.tsv", f"dev: {{file: dev.tsv, sha256: {'a' * 64}")
    params.edit("datasets/small", "splits:", f"hub: {{repo: a/b, revision: {'a' * 40}}}\nsplits:")
    with pytest.raises(data.DataError, match=r"dev.tsv: sha256 \w+ differs from the declared aaaa"):
        data.load_split("small", config.load_dataset("small"), "dev")
