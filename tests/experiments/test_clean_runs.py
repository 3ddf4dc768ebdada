"""What is deleted when a run has its result, and what `make clean-runs` lists."""

import pytest

from ner_utils import config, files, paths, processes
from ner_utils.experiments import clean_runs, experiment
from ner_utils.models.training import trainer


def checkpoint(folder, *names):
    folder.mkdir(parents=True)
    for name in ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", *names):
        (folder / name).write_text("1" * 1000)
    (folder / "trainer_state.json").write_text('{"global_step": 7, "best_global_step": 7, "log_history": []}')
    files.write_checksums(folder)
    return folder


def test_the_state_of_the_optimizer_goes_and_the_checkpoint_stays_whole(tmp_path):
    folder = checkpoint(tmp_path / "checkpoint-7")
    experiment.delete([folder / name for name in (*experiment.STATE, "no such file")])
    names = {path.name for path in folder.iterdir()}
    assert names == {"model.safetensors", "trainer_state.json", files.CHECKSUMS}
    assert files.verify_checksums(folder) == []
    assert trainer.last_checkpoint(tmp_path, lambda state: True) is None  # no training goes on from there
    (folder / "model.safetensors").write_text("damaged")
    experiment.delete([folder / "trainer_state.json"])
    assert files.verify_checksums(folder) == ["model.safetensors"]  # a damaged file stays known as such


def test_what_nothing_needs(plain_results, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    item = next(each for each in plain_results.stored if each.run.system == "smollm2-qlora")
    run, best = item.run, item.efficiency["best_checkpoint"]
    made = {name: checkpoint(run.scratch / name) for name in (best, "checkpoint-9999", f"merged-{best}")}
    (run.scratch / "answers.jsonl").write_text("kept")
    old = checkpoint(run.scratch.with_name("0123456789ab") / "checkpoint-3")
    (old.parent / "replies.jsonl").write_text("paid for")
    mine = checkpoint(tmp_path / "mine" / "checkpoint-1")
    monkeypatch.setattr(clean_runs.config, "runs_of", lambda study: [run] if study == "plain" else [])
    with processes.lock(old.parent / "lock", "trains"):
        assert (
            old not in clean_runs.unneeded()
        )  # as with OVERRIDES: no study has it, and a process works on it
    with processes.lock(run.scratch / "lock", "trains"):  # again, for a run that predicts with its weights
        assert clean_runs.unneeded().keys() == {old}
    found = clean_runs.unneeded()
    state = {made[best] / name for name in experiment.STATE}
    assert found.keys() == {made["checkpoint-9999"], made[f"merged-{best}"], old, *state}
    assert found[old] == "no study has this configuration"

    monkeypatch.setattr("sys.argv", ["clean_runs"])
    clean_runs.main()
    assert (
        made["checkpoint-9999"].is_dir() and "can be freed: make clean-runs YES=1" in capsys.readouterr().out
    )
    monkeypatch.setattr("sys.argv", ["clean_runs", "--yes"])
    with processes.lock(tmp_path / ".lock", "runs a study"), pytest.raises(SystemExit, match="is running"):
        clean_runs.main()
    assert all(path.exists() for path in found)
    clean_runs.main()
    assert not any(path.exists() for path in found) and "were freed" in capsys.readouterr().out
    assert files.verify_checksums(made[best]) == [] and mine.is_dir()
    assert (run.scratch / "answers.jsonl").is_file() and (old.parent / "replies.jsonl").is_file()
    assert config.names("studies")
