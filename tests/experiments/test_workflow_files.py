"""What the Snakefile asks: files of steps, those that are stale, and what jobs need."""

import re
from types import SimpleNamespace

import pytest
from conftest import make

from ner_utils import config, paths
from ner_utils.experiments.workflow import graph
from ner_utils.experiments.workflow.graph import Workflow
from ner_utils.results import provenance


def wildcards(**names):
    return SimpleNamespace(**{"study": "demo", "dataset": "demo"} | names)


@pytest.fixture(scope="module")
def demo_study():
    return Workflow("demo")


def test_every_run_has_a_manifest_and_scores(demo_study):
    runs = config.runs_of("demo")
    assert list(demo_study.runs.values()) == runs
    assert len(demo_study.manifests) == len(demo_study.metrics) == len(runs)
    assert demo_study.audits == ["results/demo/demo/audit.json"]
    assert demo_study.comparisons == [
        f"results/demo/demo/{name}.json" for name in ("differences", "confidence", "contamination")
    ]
    encoder = wildcards(system="minilm", seed=1)
    assert demo_study.run(encoder) == config.load_run("demo", "demo", "minilm", 1)
    assert demo_study.manifest(encoder)[0].startswith("results/demo/demo/minilm/seed1/manifest-")
    assert demo_study.metrics_on(wildcards()) == demo_study.metrics
    assert demo_study.manifests_on(wildcards(study="other")) == []
    assert demo_study.first_system(wildcards()) == "minilm"


def test_the_first_system_reads_its_sentences_as_they_are(sketch):
    typos = "typos: {model: minilm, label: Typos, weights_of: plain, perturbed: lower case}"
    sketch("disturbed", [typos, "plain: {model: minilm}"])
    assert Workflow("disturbed").first_system(wildcards(study="disturbed")) == "plain"


def test_an_edited_configuration_asks_for_another_manifest(demo_study):
    edited = Workflow("demo", "minilm:model.training.epochs=3")
    differing = set(edited.manifests) - set(demo_study.manifests)
    assert any("/minilm/" in file for file in differing)
    assert not any("/smollm2-qlora/" in file for file in differing)
    assert edited.metrics == demo_study.metrics


def test_notebooks_and_inputs_of_runs(demo_study):
    assert demo_study.training_notebook(wildcards(system="minilm", seed=1)) == ["notebooks/02_encoder.ipynb"]
    assert demo_study.training_notebook(wildcards(system="smollm2-qlora", seed=1)) == [
        "notebooks/03_qlora.ipynb"
    ]
    disturbed = wildcards(system="minilm-typos", seed=1)
    assert demo_study.needed(disturbed) == demo_study.manifest(wildcards(system="minilm-120", seed=1))
    assert demo_study.needed(wildcards(system="minilm", seed=1)) == []


def test_patterns_match_ensembles_and_studies_with_generators(demo_study):
    vote = Workflow("vote")
    seeds = wildcards(study="vote", system="seeds", seed=1)
    assert len(vote.members(seeds)) == 2
    assert set(vote.members(seeds)) < set(vote.manifests)
    assert re.match(vote.ensembles(), "vote/demo/seeds/seed1")
    assert not re.match(vote.ensembles(), "vote/demo/minilm/seed1")
    assert not re.match(demo_study.ensembles(), "demo/demo/minilm/seed1"), "a study without ensembles"
    assert re.fullmatch(demo_study.studies_with_generators(), "demo")
    assert not re.fullmatch(demo_study.studies_with_generators(), "demo2")


def test_a_job_asks_for_its_run_or_for_the_largest_generator(demo_study, monkeypatch):
    needs = {"minilm": 1, "smollm2-qlora": 5}
    monkeypatch.setattr(
        graph,
        "resources",
        lambda run: dict.fromkeys(("mem_mb", "gpu", "runtime"), needs.get(run.system, 0)),
    )
    ask = demo_study.resources()
    assert set(ask) == {"mem_mb", "gpu", "runtime"}
    assert ask["mem_mb"](wildcards(system="minilm", seed=1)) == 1
    assert ask["runtime"](wildcards()) == 5
    assert ask["gpu"](wildcards(study="none")) == 0


def test_steps_with_stale_outputs_have_a_younger_input(tmp_path, made_up):
    """Scores of another scorer, and then none."""
    made_up(name="vote")
    study = Workflow("vote", "protocol.resamples=50")
    marker = tmp_path / "runs" / ".stale"
    newer = study.mark_stale(marker)
    assert study.stale == set() and not marker.exists()
    run = config.load_run("vote", "demo", "minilm", 1)
    path = run.results / "metrics.json"
    path.write_text(path.read_text().replace('"micro"', '"Micro"', 1))
    provenance.read_manifest(run)
    study = Workflow("vote", "protocol.resamples=50")
    newer = study.mark_stale(marker)
    (stale,) = [file for file in study.stale if "minilm" in file and "seed1" in file]
    pattern = stale.replace("minilm", "{system}").replace("seed1", "seed{seed}")
    assert marker.is_file()
    assert newer(pattern)({"system": "minilm", "seed": 1}) == [str(marker)]
    assert newer(pattern)({"system": "minilm", "seed": 2}) == []


def test_a_report_is_of_a_study_as_declared():
    """Its thesis, with overrides, would be of other runs than its page."""
    code, said = make(paths.ROOT, "--dry-run", "report", OVERRIDES="seeds=[1]")
    assert code and "make report shows a study as its file declares it" in said
    assert make(paths.ROOT, "--dry-run", "report", OVERRIDES="")[0] == 0
