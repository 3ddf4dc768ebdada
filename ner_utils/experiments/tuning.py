"""Fair tuning: the same number of seeded trials for every system, compared by their F1 on dev.

``make tune STUDY=...`` trains the trials of each system whose settings are ``tuned`` and writes
``results/<study>/<dataset>/<system>/tuning.json``, which its runs read. The first trial has the declared
settings; a space that lists as many settings as there are trials is tried whole. An interrupted search
continues: its sampler is seeded, so it asks for the same trials again, and finished trials keep their
records. A finished search of other settings is kept as ``tuning-<its identity>.json``.
"""

from __future__ import annotations

import math
import shutil
import sys
from typing import Any

from ner_utils import config, data, messages, paths, scoring, sealed
from ner_utils.config import tuned
from ner_utils.config.run import Run
from ner_utils.config.strict_yaml import value_of
from ner_utils.config.study import Range, System, Tuning
from ner_utils.experiments import experiment, preflight
from ner_utils.results import provenance


def search_settings(run: Run, system: System, settings: Tuning) -> dict[str, Any]:
    """Train the trials of a system, and store each one and at last the best settings. ``run`` is a run of the
    system as declared. Trials that are stored already, on this machine or another, are not trained again.

    The sampler is optuna's TPE (Bergstra et al. 2011), or its grid where the space lists as many settings as
    there are trials. The objective is a trial's best F1 on dev.
    """
    import optuna  # late: it takes seconds to import

    corpus = data.load(run.dataset_name, run.dataset)
    corpus = {split: corpus[split] for split in ("train", "dev")}  # a search must not see test
    before, trials = tuned.trials_of(run, system, settings), []
    identity = tuned.identity(run, system, settings)
    tuned.set_aside(run, system, settings)

    def objective(trial: optuna.Trial) -> float:
        values = {key: _suggest(trial, key, choice) for key, choice in system.space.items()}
        if done := next((each for each in before if each["values"] == values), None):
            trials.append(done)
            return done["dev_f1"]
        model = config.load_model(system.model, {**system.overrides, **values})
        tried = run.model_copy(update={"model": model, "seed": settings.seed, "study": f"{run.study}/tuning"})
        score, seconds, starts = _try(tried, corpus)
        trials.append({"values": values, "dev_f1": score, "seconds": seconds, "starts": starts})
        print(f"{run.system}, trial {len(trials)} of {settings.trials}: {tuned.describe(values)}: ", end="")
        print(f"dev F1 {100 * score:.1f}, {seconds:.0f} s", flush=True)
        for folder in paths.weight_folders(tried.scratch):  # only the record of a trial is kept
            shutil.rmtree(folder, ignore_errors=True)
        sealed.write_json(tuned.path(run), {"identity": identity, "trials": trials, "finished": False})
        return score

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    declared = {key: value_of(run.model, key) for key in system.space}
    values = [choice for choice in system.space.values() if isinstance(choice, list)]
    is_whole = len(values) == len(system.space) and math.prod(map(len, values)) == settings.trials
    if is_whole:
        sampler = optuna.samplers.GridSampler(system.space, seed=settings.seed)
    else:
        startup = max(2, settings.trials // 2)
        sampler = optuna.samplers.TPESampler(seed=settings.seed, n_startup_trials=startup)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    if not is_whole:
        study.enqueue_trial(declared)
    study.optimize(objective, n_trials=settings.trials)
    result = {
        "identity": identity,
        "declared": next((at for at, trial in enumerate(trials) if trial["values"] == declared), None),
        "chosen": trials[study.best_trial.number]["values"],
        "best": study.best_trial.number,
        "trials": trials,
        "seconds": sum(trial["seconds"] for trial in trials),
        **provenance.environment(),
    }
    sealed.write_json(tuned.path(run), result)
    return result


def _try(run: Run, corpus: experiment.Corpus) -> tuple[float, float, int]:
    """The best F1 on dev of a trial, its seconds and starts; of a system that is not trained, its F1 on the
    sample of dev."""
    from ner_utils.models import training  # late: it takes seconds to import

    if run.untrained:
        sample = data.draw(corpus["dev"], run.dev_sample, run.seed)
        predicted, cost = experiment.predict_sentences(run, None, sample)
        score = scoring.score([each.spans for each in sample], [each.spans for each in predicted])
        return score.f1, sum(cost["prediction_seconds"].values()), 1
    try:
        record = experiment.train_run(run, corpus, checkpoints=False)
    except training.Diverged as error:  # these settings score nothing
        print(error, flush=True)
        return 0.0, 0.0, 1
    best = max(look["dev_f1"] for look in record["looks"])
    return best, record["training_seconds"] + record["looks_seconds"], record["starts"]


def _suggest(trial, key: str, choice: Range | list) -> Any:
    if isinstance(choice, list):
        return trial.suggest_categorical(key, choice)
    return trial.suggest_float(key, choice.low, choice.high, log=choice.log)


def main(study: str, overrides: str = "") -> None:
    """Search settings for every system of a study that is to be tuned; finished searches are kept."""
    settings = config.load_study(study, overrides)
    systems = {name: system for name, system in settings.systems.items() if system.settings == "tuned"}
    if not systems:
        raise config.ConfigError(f"params/studies/{study}.yaml: no system has settings: tuned")
    pending = []
    for dataset in settings.datasets:
        for name, system in systems.items():
            seed = settings.seeds_of(name)[0]
            run = config.load_run(study, dataset, name, seed, overrides, declared=True)
            pending.append((run, system))
    preflight.check_runs([run for run, _ in pending])
    for run, system in pending:
        try:
            result = tuned.read(run, system, settings.protocol.tuning)
        except config.ConfigError:
            result = search_settings(run, system, settings.protocol.tuning)
        f1 = 100 * result["trials"][result["best"]]["dev_f1"]
        print(f"{run.dataset_name}, {run.system}: {result['chosen']}, dev F1 {f1:.1f}", flush=True)


if __name__ == "__main__":
    with messages.errors_as_lines(*experiment.ERRORS):
        main(*sys.argv[1:])
