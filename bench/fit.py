"""`python bench/fit.py [--stored]`: the estimated memory of every model, and its errors on a CPU.

Each setting trains or predicts with the project's own code in a fresh process. Measured is the most resident
memory of this process (VmHWM), less the memory before the model was loaded, with all libraries imported. All
examples of a setting have one length, which the estimate knows; evaluations on dev have two sentences. Each
setting is measured twice, the second time with glibc set to give freed blocks back at once
(MALLOC_MMAP_THRESHOLD_), which leaves `estimate.HEAP` out of the comparison. That factor was measured in
eleven runs with other batches and lengths. With ``--stored``, the stored measurements are compared with
today's estimates. Writes ``results/bench/fit.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoConfig

from ner_utils import config, data, paths, processes, sealed
from ner_utils.config import schema
from ner_utils.config.run import Run
from ner_utils.data.corpus import Sentence
from ner_utils.data.spans import Span
from ner_utils.experiments.memory import footprint
from ner_utils.experiments.memory.estimate import CARDS, HEAP, RESERVE, estimate
from ner_utils.experiments.memory.lengths import lengths_of
from ner_utils.models import generation, tagging, weights
from ner_utils.results import provenance

FILE = paths.RESULTS / "bench" / "fit.json"
STEPS = 8
# In the table of models, examples have 256 tokens, an LLM's with an answer of 64, and prompts share their
# first 100 tokens.
TOKENS = {"tagging": footprint.Batch(256, 256, 0, 0), "generation": footprint.Batch(256, 192, 64, 100)}


class Setting(NamedTuple):
    """A system of the demo study, whether it is training or predicting, a sentence by its numbers of words
    and mentions; and a model with a folder of random weights, to replace the system's."""

    system: str
    what: str
    words: int
    mentions: int
    overrides: str
    model: str = ""
    folder: str = ""


SETTINGS = (
    Setting("minilm", "training", 94, 2, "model.training.batch_size=16"),
    Setting("minilm", "training", 248, 2, "model.training.batch_size=4"),
    Setting("minilm", "training", 30, 2, "model.training.batch_size=48"),
    Setting("minilm", "prediction", 62, 2, "model.prediction_batch_tokens=16384"),
    Setting("smollm2-qlora", "training", 20, 2, "model.training.batch_size=4 model.quantisation=null"),
    Setting("smollm2-qlora", "training", 30, 3, "model.training.batch_size=6 model.quantisation=null"),
    Setting("smollm2-qlora", "training", 20, 2, "model.training.batch_size=8"),
    Setting("smollm2-qlora", "training", 80, 3, "model.training.batch_size=3"),
    Setting(
        "smollm2-zero-shot", "prediction", 50, 3, "model.prediction_batch_size=32 model.quantisation=null"
    ),
    Setting("smollm2-zero-shot", "prediction", 140, 3, "model.prediction_batch_size=8"),
)


# `make bench-gpu`: the papers' models in place of the small ones of the same approach.
FULL_SIZE = (
    Setting("minilm", "training", 94, 2, "model.training.batch_size=8", "deberta-v3-large"),
    Setting("smollm2-qlora", "training", 80, 3, "model.training.batch_size=4", "qwen3.5-4b"),
    Setting("smollm2-zero-shot", "prediction", 50, 3, "model.prediction_batch_size=32", "qwen3.5-4b"),
)


def run_of(setting: Setting) -> Run:
    """The run of a setting: an evaluation on two dev sentences, answers of at most eight tokens."""
    common = "model.training.epochs=1 model.max_new_tokens=8 model.prediction_batch_size=2"
    seed = 0 if setting.system.endswith("zero-shot") else 1
    text = f"{common} protocol.dev_evaluations=1 protocol.dev_sample=2 {setting.overrides}"
    run = config.load_run("demo", "demo", setting.system, seed, text)
    if not setting.folder:
        return run
    large = config.load_model(setting.model)
    layers = AutoConfig.from_pretrained(setting.folder).num_hidden_layers  # fewer, where it is but a trial
    changes = {"label": large.label, "architecture": large.architecture | {"num_hidden_layers": layers}}
    changes |= {"lora": large.lora, "weights": schema.Weights(folder=setting.folder)}
    model = run.model.model_copy(update=changes)
    return run.model_copy(update={"model": model})


def sentence_of(setting: Setting, run: Run) -> Sentence:
    """The one sentence that a setting repeats."""
    kind = next(iter(run.dataset.types))
    spans = tuple(Span(at, at + 1, kind) for at in range(0, 2 * setting.mentions, 2))
    return Sentence("", None, ("Paris",) * setting.words, spans)


def batch_of(setting: Setting, run: Run) -> footprint.Batch:
    """The tokens of a setting's batch."""
    sentence, source = sentence_of(setting, run), weights.resolve(run.model.weights)
    if run.model.approach == "tagging":
        row = tagging.encode([sentence], tagging.load_tokenizer(source), run.model.training.max_length)[0]
        return footprint.Batch(len(row["input_ids"]), len(row["input_ids"]), 0, 0)
    prompter = generation.Prompter(run, source)
    labels = prompter.example(sentence)["labels"]
    answer = sum(label != data.IGNORED for label in labels)
    return footprint.Batch(len(labels), len(labels) - answer, answer, len(prompter.shared_prefix()))


# ------------------------------------------------------------------------- measuring
def resident(field: str) -> int:
    """Bytes of this process' memory by Linux's names: VmRSS now, VmHWM at most."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(lines[field].split()[0])


def measure(setting: Setting) -> tuple[int, float]:
    """Bytes that a setting's work takes in the process that calls it, or on its GPU; and seconds of a step,
    or of a sentence."""
    import bitsandbytes  # noqa: F401 (here, or it would count as the model's)
    from transformers import DataCollatorForTokenClassification, Trainer  # noqa: F401

    from ner_utils.models.generation import qlora

    run, folder = run_of(setting), Path(tempfile.mkdtemp())
    paths.RUNS = folder
    sentence, batch = sentence_of(setting, run), batch_of(setting, run)
    before = resident("VmRSS")
    if setting.what == "training":
        train = tagging.train_tagger if run.model.approach == "tagging" else qlora.train_generator
        done = train(run, [sentence] * (STEPS * run.model.training.batch_size), [sentence] * 2)
        seconds = done["training_seconds"] / done["steps"]
    elif run.model.approach == "tagging":
        rows = run.model.prediction_batch_tokens // batch.longest
        done = tagging.predict_with_tagger(
            run, Path(weights.resolve(run.model.weights)), [sentence] * (2 * rows)
        )[1]
        seconds = 1 / done["sentences_per_second"]
    else:
        done = generation.predict_with_generator(
            run, None, [sentence] * (2 * run.model.prediction_batch_size)
        )[1]
        seconds = 1 / done["sentences_per_second"]
    shutil.rmtree(folder)
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated(), seconds
    return resident("VmHWM") - before, seconds


def estimated(setting: Setting, run: Run, heap: float = HEAP) -> int:
    """The estimate for a setting on this machine, in bytes."""
    lengths = lengths_of(run)._replace(batch=batch_of(setting, run))
    return getattr(estimate(run, torch.cuda.is_available(), lengths, heap=heap), setting.what)


def compare(setting: Setting, stored: dict[str, Any] | None) -> dict[str, Any]:
    """A setting with its estimates and measurements in bytes; the ``stored`` measurements if there are
    any."""
    run = run_of(setting)
    model, batch, predicts = run.model, batch_of(setting, run), setting.what == "prediction"
    rows = model.training.batch_size
    if predicts:
        tagging = model.approach == "tagging"
        rows = model.prediction_batch_tokens // batch.longest if tagging else model.prediction_batch_size
    precision = "NF4" if getattr(model, "quantisation", None) else "fp32"
    row = {"system": run.label, "what": setting.what, "precision": precision, "rows": rows}
    row |= {"tokens": batch.prompt if predicts else batch.longest}
    row |= {"predicted": estimated(setting, run), "measured": stored and stored["measured"]}
    row |= {"tensors": estimated(setting, run, heap=1), "returned": stored and stored["returned"]}
    if stored is None:
        row["measured"] = processes.in_fresh_process(measure, setting)[0]
        os.environ["MALLOC_MMAP_THRESHOLD_"] = "131072"
        row["returned"] = processes.in_fresh_process(measure, setting)[0]
        del os.environ["MALLOC_MMAP_THRESHOLD_"]
    print(row, flush=True)
    return row


def full_size(folders: dict[str, str]) -> list[dict[str, Any]]:
    """Measured and estimated memory of models of full size with random weights; ``folders`` by model."""
    rows = []
    for setting in FULL_SIZE:
        setting = setting._replace(folder=folders[setting.model])
        run = run_of(setting)
        predicted = estimated(setting, run)
        measured, seconds = processes.in_fresh_process(measure, setting)
        row = {"model": run.model.label, "what": setting.what, "tokens": batch_of(setting, run).longest}
        row |= {"seconds": seconds, "predicted_gib": predicted / 2**30, "measured_gib": measured / 2**30}
        rows.append(row)
    return rows


# ---------------------------------------------------------------------------- matrix
def matrix() -> list[dict[str, Any]]:
    """Every model on a card: as configured, sparing, and as it predicts."""
    rows = []
    for name, model in config.pretrained_models().items():
        values = config.runs_of("demo")[0].model_dump() | {"system": name, "label": model.label}
        run = Run.model_validate(values | {"model": model.model_dump()})
        lengths = lengths_of(run)._replace(batch=TOKENS[model.approach])
        whole, sparing = (estimate(run, True, lengths, sparing=sparing) for sparing in (False, True))
        row = {"model": name, "label": run.label, "approach": model.approach}
        row |= {key: getattr(whole, key) for key in ("parameters", "trainable", "training", "prediction")}
        row |= {"sparing": sparing.training, "batch": model.training.batch_size}
        rows.append(row)
    return rows


# Names of paper A's adapted layers: all linear layers of most models, and some of Qwen3.5's.
PUBLISHED = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def adapters() -> dict[str, dict[str, int]]:
    """Number of linear layers of each Qwen3.5 that carry an adapter, and with paper A's list of names."""
    numbers = {}
    models = config.pretrained_models().items()
    for name, model in ((name, model) for name, model in models if name.startswith("qwen3.5")):
        sizes = footprint.count(json.dumps(model.architecture), 0)
        numbers[name] = {
            key: len(sizes.adapted(model.lora.model_copy(update={"target_modules": targets})))
            for key, targets in (("all", "all-linear"), ("published", PUBLISHED))
        }
    return numbers


def main() -> None:
    """Measure, or take the stored measurements, and store them with today's estimates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--stored", action="store_true", help="compare the stored measurements, measure nothing"
    )
    stored = sealed.read_json(FILE, "run python bench/fit.py") if parser.parse_args().stored else None
    measurements = stored["validation"] if stored else [None] * len(SETTINGS)
    result = {"reserve": RESERVE, "cards": [card._asdict() for card in CARDS], "models": matrix()}
    result |= {"adapters": adapters(), "validation": list(map(compare, SETTINGS, measurements))}
    worst = max(abs(row["predicted"] / row["measured"] - 1) for row in result["validation"])
    print(f"worst error {worst:.1%}")
    # The commit, the versions and the machine are those of the measurements.
    environment = (
        {key: value for key, value in stored.items() if key != "sha256"}
        if stored
        else provenance.environment()
    )
    sealed.write_json(FILE, environment | result)


if __name__ == "__main__":
    main()
