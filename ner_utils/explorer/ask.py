"""What do the systems of a study predict for a sentence of one's own?"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ner_utils.config.run import Run
from ner_utils.config.strict_yaml import ConfigError
from ner_utils.data.formats.offsets.standoff import split_tokens
from ner_utils.data.predictions import Prediction
from ner_utils.data.sentence import Sentence
from ner_utils.experiments import experiment
from ner_utils.explorer import mentions

OPEN = ("generation", "gliner")  # approaches that read the names of types


def ask(
    sentence: str | Sequence[str],
    study: str,
    systems: Sequence[str] = (),
    *,
    dataset: str | None = None,
    seed: int | None = None,
    types: Sequence[str] = (),
    grammar: bool = True,
) -> pd.DataFrame:
    """What systems predict for a sentence, a text or its tokens: a row for each, with its label, seed, the
    spans as (words, type, confidence from 0 to 1), milliseconds for this sentence alone, and the raw answer.

    Without ``systems``, all those of the study are asked whose weights are on this machine: untrained ones,
    and trained ones whose checkpoint is still there (with the given seed, or the first). ``types`` names
    other types, which only generators and GLiNERs can look for. With ``grammar``, generators that write
    freely have a second row, with an answer under a grammar that admits only spans of the sentence. Servers
    are not asked.

        ask("Ada Lovelace lived in London .", "demo", ["minilm", "smollm2-qlora"])

    Raises `ConfigError` for an unknown name or seed, an empty sentence, and where no system can be asked.
    """
    tokens = tuple(split_tokens(sentence) if isinstance(sentence, str) else sentence)
    if not tokens:
        raise ConfigError("ask: the sentence is empty")
    own, rows = Sentence("own", None, tokens, ()), []
    for run, checkpoint in _available(study, dataset, systems, seed, bool(types)):
        for each in _ways(run, grammar and run.writes):
            asked = _with_types(each, types) if types else each
            predicted, milliseconds, answer = _predict(asked, checkpoint, own)
            rows.append(
                {
                    "system": run.label if each is run else f"{run.label}, under a grammar",
                    "seed": run.seed,
                    "spans": mentions.shown_spans(own, predicted),
                    "milliseconds": milliseconds,
                    "answer": answer,
                }
            )
    return pd.DataFrame(rows)


def _available(
    study: str, dataset: str | None, systems: Sequence[str], seed: int | None, is_open: bool
) -> list[tuple[Run, Path | None]]:
    """The runs that can be asked, with their checkpoints. Raises `ConfigError` for one that was asked for by
    name and cannot be, and where there is none."""
    found, reasons = [], []
    for name, run in mentions.runs_of(study, dataset, systems, seed).items():
        checkpoint, reason = _checkpoint(run)
        if is_open and run.model.approach not in OPEN:
            reason = "its types are those that it was trained on"
        elif is_open and run.few_shot:
            reason = "its examples have the corpus' types"
        if reason:
            reasons.append(f"{name}: {reason}")
        else:
            found.append((run, checkpoint))
    if reasons and (systems or not found):
        raise ConfigError(f"{study}: cannot be asked: {'; '.join(reasons)}")
    return found


def _checkpoint(run: Run) -> tuple[Path | None, str]:
    """The checkpoint of a run, if it needs one; and why the run cannot be asked, if it cannot."""
    if not run.has_weights:
        return None, "it is a server, or other systems vote for it"
    if run.untrained:
        return None, ""
    record = run.training_record
    if not record.is_file():
        return None, f"its checkpoint is not on this machine (make study STUDY={run.study} makes it)"
    checkpoint = experiment.best_checkpoint(run, json.loads(record.read_text(encoding="utf-8")))
    return checkpoint, "" if checkpoint.is_dir() else "its checkpoint was deleted"


def _ways(run: Run, grammar: bool) -> list[Run]:
    """The run as it is, and, if it writes freely, under a grammar."""
    if not grammar or run.model.constrained != "none":
        return [run]
    model = run.model.model_copy(
        update={"constrained": "grounded", "max_new_tokens": max(64, run.model.max_new_tokens)}
    )
    return [run, run.model_copy(update={"model": model})]


def _with_types(run: Run, types: Sequence[str]) -> Run:
    named = {"types": {name: name for name in types}, "definitions": {}, "tags": []}
    dataset = run.dataset.model_copy(update=named)
    updates = {"type_names": {}} | ({"definitions": False} if run.writes else {})
    return run.model_copy(update={"dataset": dataset, "model": run.model.model_copy(update=updates)})


def _predict(run: Run, checkpoint: Path | None, sentence: Sentence) -> tuple[Prediction, float, str | None]:
    """The prediction, milliseconds after a first one, and the raw answer of a generator."""
    if run.writes:
        generator = _generator(run.model_dump_json(), checkpoint)
        generator.predict([sentence])
        start = time.perf_counter()
        (prediction,), (answer,) = generator.predict([sentence])
        return prediction, 1000 * (time.perf_counter() - start), answer
    once = run.model_copy(update={"latency_sentences": 1})
    (prediction,), cost = experiment.predictor_of(run)(once, checkpoint, [sentence])
    return prediction, cost["latency"]["p50_ms"], None


@functools.lru_cache(maxsize=2)
def _generator(run: str, checkpoint: Path | None) -> Any:
    """The generator of a run (as JSON), which takes seconds to load: the last two are kept."""
    from ner_utils.models import weights  # late, as the next: they take seconds to import
    from ner_utils.models.generation import Generator, Prompter, load_for_prediction

    settings = Run.model_validate_json(run)
    prompter = Prompter(settings, weights.resolve(settings.model.weights))
    return Generator(settings, load_for_prediction(settings, checkpoint), prompter)
