"""Made-up results of a study, written by the real writers: gold with mistakes put in."""

from __future__ import annotations

import random

from ner_utils import config, data
from ner_utils.analyses import confidence, contamination, differences
from ner_utils.config.run import Run
from ner_utils.data import audit
from ner_utils.data.predictions import Prediction
from ner_utils.experiments import ensemble, experiment
from ner_utils.models.endpoint import predictor
from ner_utils.models.endpoint.journal import Reply
from ner_utils.results import evaluation, findings

# How much of the gold a system finds, and with which share of it wrong.
SKILL = {"minilm": (0.45, 0.3), "smollm2-qlora": (0.27, 0.35), "smollm2-zero-shot": (0.02, 0.6)}


def write(study: str, overrides: str = "") -> None:
    """A whole study below `paths.RESULTS`, with the audits of its corpora."""
    corpora = {}
    for run in config.runs_of(study, overrides):
        name = run.dataset_name
        if name not in corpora:
            corpora[name] = data.load(name, run.dataset)
            audit.write_audit(study, name, run.dataset, corpora[name])
        write_run(run, corpora[name])
    for name, corpus in corpora.items():
        differences.compare(study, name, overrides, corpus)
        confidence.assess(study, name, overrides, corpus)
        runs = findings.runs_on(study, name, overrides)
        findings.write_findings("contamination", runs, {"models": _probed(runs)})


def _probed(runs: list[Run]) -> dict:
    """What a probe might have found of each language model."""
    found = {}
    for label in dict.fromkeys(run.model.label for run in runs if run.model.approach == "generation"):
        chance = random.Random(label)
        words = {name: chance.choices(range(7), k=60) for name in contamination.SETS}
        found[label] = {name: contamination.summary(each) for name, each in words.items()}
        found[label]["gap"] = contamination.gap(words["test"], words["counterparts"], 200)
    return found


def write_run(run: Run, corpus: dict) -> None:
    """One run: predictions, efficiency, manifest, metrics."""
    chance = random.Random(f"{run.system} {run.seed}")
    gold, dev = data.test_sentences(run, corpus), data.dev_sentences(run, corpus)
    if run.members:
        voter, f1 = ensemble.train_voter_on_dev(run, dev)
        predicted, on_dev, cost = (
            ensemble.predict_by_vote(run, voter, gold),
            [],
            ensemble.cost_of_members(run, voter, f1),
        )
    else:
        predicted, on_dev = ([_predict(run, sentence, chance) for sentence in part] for part in (gold, dev))
        cost = _efficiency(run, chance)
    experiment.write_results(run, predicted, {}, cost, on_dev)
    evaluation.write_metrics(run, gold, predicted)


def _predict(run: Run, sentence, chance: random.Random) -> Prediction:
    recall, noise = SKILL.get(run.system, (0.5, 0.2))
    kinds = list(run.dataset.types)
    spans = []
    for span in sentence.spans:
        draw = chance.random()
        if draw < recall:
            spans.append(span)
        elif draw < recall + noise:
            spans.append(span._replace(type=chance.choice([kind for kind in kinds if kind != span.type])))
    # A span is surer where it is right, and a little too sure everywhere.
    other = random.Random(f"{run.system} {run.seed} {sentence.id}")
    sure = tuple(-other.random() * (0.3 if span in sentence.spans else 0.8) for span in spans)
    sure = sure if run.has_weights else None  # a server states no confidences
    if run.model.approach == "tagging":
        repaired = tuple(at for at in range(len(spans)) if other.random() < 0.05)
        return Prediction(sentence.id, tuple(spans), repaired=repaired, confidences=sure)
    status = chance.choices(["ok", "recovered", "failed"], [8, 3, 1] if run.untrained else [97, 2, 1])[0]
    many = 3 if run.untrained else 1
    dropped = {
        "unknown_type": chance.random() < 0.1 * many,
        "malformed": chance.random() < 0.05 * many,
        "ungrounded": chance.random() < 0.1 * many,
        "duplicate": chance.random() < 0.03 * many,
    }
    dropped = {reason: int(happened) for reason, happened in dropped.items()}
    if status == "failed":
        spans, sure = [], sure and ()
    return Prediction(sentence.id, tuple(spans), status, dropped, confidences=sure)


def _efficiency(run: Run, chance: random.Random) -> dict:
    if run.model.approach == "endpoint":
        times = [float(begin) for begin in range(40)]
        replies = [Reply(f"{at}", "[]", "stop", 120, 14, at, at + 0.8, at < 3, "m-1") for at in times]
        return predictor._cost(run, replies, 0)
    tagging = run.model.approach == "tagging"
    p50 = (14 if tagging else 2300) * chance.uniform(0.9, 1.1)
    cost = {
        "prediction_seconds": {"prepare": 0.2, "model": 5.1, "read": 0.3},
        "sentences_per_second": 230.0 if tagging else 4.4,
        "batch_size": 32,
        "latency": {
            "sentences": run.latency_sentences,
            "differing": 0 if run.model.approach == "tagging" else 1,
            "mean_ms": 1.2 * p50,
            "p50_ms": p50,
            "p95_ms": 3 * p50,
        },
        "prediction_memory": {"process_mib": 812.3 if tagging else 2431.7},
        "prediction_truncation": {"lost_words": 3, "lost_mentions": 1} if tagging else {"cut_off_answers": 4},
        "device": "cpu",
        "threads": 2,
    }
    if run.untrained:
        return cost | {"parameters": {"total": 134_515_008, "trainable": 0}}
    number = run.dev_evaluations
    total = 80 * number
    looks = [
        {
            "step": 80 * k,
            "epoch": round(4 * k / number, 4),
            "dev_f1": (0.58 if tagging else 0.35) * (1 - 0.5**k) * chance.uniform(0.97, 1.03),
            "dev_loss": 0.2 + 0.3 * 0.4**k + 0.04 * k,
        }
        for k in range(1, number + 1)
    ]
    best = max(looks, key=lambda look: look["dev_f1"])
    record = {
        "training_seconds": 640.2 if tagging else 1911.7,
        "looks_seconds": 41.5,
        "starts": 1,
        "steps": total,
        "steps_declared": total,
        "looks": looks,
        "losses": [[step, 1 / (1 + step)] for step in range(5, total, 5)],
        "best_checkpoint": f"checkpoint-{best['step']}",
        "training_memory": {"process_mib": 1490.0 if tagging else 3605.0},
        "parameters": {
            "total": 22_569_613 if tagging else 139_399_488,
            "trainable": 22_569_613 if tagging else 4_884_480,
        },
    }
    if tagging:
        return record | {"training_truncation": {"lost_words": 0, "lost_mentions": 0}} | cost
    record |= {"lora_layers": {"q_proj": 30}, "dev_sample": 40}
    return record | {"training_truncation": {"cut_off_examples": 0}} | cost
