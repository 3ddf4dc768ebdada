"""`python bench/fit.py`: what `ner_utils.fit` predicts for every model, and how right it is on a CPU.

Predicted first, measured then: each setting trains or predicts with the project's own code in a fresh
process. Compared is the most resident memory that the process ever had (VmHWM), less what it had before the
model was loaded, all libraries imported. The examples of a setting are of one length, which the prediction
is told; looks at dev are of two sentences. Each is measured twice, the second time with glibc told to give
freed blocks back at once (MALLOC_MMAP_THRESHOLD_): that takes the heap's factor out of the comparison.
`fit.HEAP`, the one number that was measured and not derived, comes from eleven runs with other batches and
lengths. One rule was mended after a first run of this bench: where blocks are given back, a look at dev finds
none to take. Writes ``results/bench/fit.json``.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from ner_utils import config, data, paths, processes, sealed
from ner_utils.config import schema
from ner_utils.config.run import Run
from ner_utils.data.corpus import Sentence
from ner_utils.data.spans import Span
from ner_utils.experiments.memory import fit, footprint
from ner_utils.models import backbones, generation, tagging, weights
from ner_utils.results import provenance

STEPS = 8
# What the table asks of every model: examples of 256 tokens, an LLM's with an answer of 64, and a beginning
# of 100 that all prompts share.
TOKENS = {"tagging": footprint.Batch(256, 256, 0, 0), "generation": footprint.Batch(256, 192, 64, 100)}


class Setting(NamedTuple):
    """A system of the demo study, what it does, and a sentence: so many words, some of them mentions; and a
    model with a folder of random weights, which stands in for the system's."""

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


# `make bench-gpu`: what the papers' models take, in the place of the small ones of the same approach.
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
    """Its tokens."""
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
    """Bytes of this process' memory, as Linux names them: VmRSS now, VmHWM at most."""
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


def validate(setting: Setting) -> dict[str, Any]:
    """A setting's prediction, then its measurements, in bytes."""
    run = run_of(setting)
    lengths = fit.lengths_of(run)._replace(batch=batch_of(setting, run))
    predicted, tensors = (
        getattr(fit.estimate(run, None, lengths, heap=heap), setting.what) for heap in (fit.HEAP, 1)
    )
    measured = processes.in_fresh_process(measure, setting)[0]
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "131072"
    returned = processes.in_fresh_process(measure, setting)[0]
    del os.environ["MALLOC_MMAP_THRESHOLD_"]
    model = run.model
    rows = model.training.batch_size
    if setting.what == "prediction":
        rows = (
            getattr(model, "prediction_batch_size", None)
            or model.prediction_batch_tokens // lengths.batch.longest
        )
    kind = "NF4" if getattr(model, "quantisation", None) else "fp32"
    found = {"system": model.label, "what": setting.what, "precision": kind, "rows": rows}
    found |= {"tokens": lengths.batch.prompt if setting.what == "prediction" else lengths.batch.longest}
    found |= {"predicted": predicted, "measured": measured, "tensors": tensors, "returned": returned}
    print(found, flush=True)
    return found


def full_size(folders: dict[str, str]) -> list[dict[str, Any]]:
    """What models of full size, random weights, take, and the estimate beside it; ``folders`` by model."""
    card = fit.CARDS[-1] if torch.cuda.is_available() else None
    rows = []
    for setting in FULL_SIZE:
        setting = setting._replace(folder=folders[setting.model])
        run = run_of(setting)
        lengths = fit.lengths_of(run)._replace(batch=batch_of(setting, run))
        predicted = getattr(fit.estimate(run, card, lengths), setting.what)
        measured, seconds = processes.in_fresh_process(measure, setting)
        row = {"model": run.model.label, "what": setting.what, "tokens": lengths.batch.longest}
        row |= {"seconds": seconds, "predicted_gib": predicted / 2**30, "measured_gib": measured / 2**30}
        rows.append(row)
    return rows


# ---------------------------------------------------------------------------- matrix
def matrix() -> list[dict[str, Any]]:
    """Every model on a card: as configured, sparing, and as it predicts, untrained too if it writes."""
    runs = {}
    for name in config.names("models"):
        model = config.load_model(name)
        values = config.runs_of("demo")[0].model_dump() | {"system": name, "label": model.label}
        runs[name] = Run.model_validate(values | {"model": model.model_dump()})
    rows = []
    for name, run in runs.items():
        lengths = fit.lengths_of(run)._replace(batch=TOKENS[run.model.approach])
        found = fit.estimate(run, fit.CARDS[-1], lengths)
        row = {"model": name, "label": run.label, "approach": run.model.approach}
        row |= {key: getattr(found, key) for key in ("parameters", "trainable", "training", "prediction")}
        row["sparing"] = fit.estimate(run, fit.CARDS[-1], lengths, sparing=True).training
        row["batch"] = run.model.training.batch_size
        rows.append(row)
        print(row, flush=True)
    return rows


# What paper A's adapters are called, which is all linear layers of most models and not of Qwen3.5.
PUBLISHED = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def adapters() -> dict[str, dict[str, int]]:
    """How many linear layers of each Qwen3.5 learn, and how many with paper A's list of names."""
    found = {}
    for name in (name for name in config.names("models") if name.startswith("qwen")):
        model = config.load_model(name)
        row = found[name] = {}
        for what, targets in (("all", "all-linear"), ("published", PUBLISHED)):
            lora = model.lora.model_copy(update={"target_modules": targets})
            with torch.device("meta"):
                made = AutoModelForCausalLM.from_config(footprint.configuration(model))
                row[what] = sum(
                    backbones.coverage(backbones.with_adapter(made, lora, "CAUSAL_LM", False)).values()
                )
    return found


if __name__ == "__main__":
    stored = {"reserve": fit.RESERVE, "cards": [card._asdict() for card in fit.CARDS], "models": matrix()}
    stored["adapters"] = adapters()
    stored["validation"] = [validate(setting) for setting in SETTINGS]
    worst = max(abs(row["predicted"] / row["measured"] - 1) for row in stored["validation"])
    print(f"worst error {worst:.1%}")
    sealed.write_json(paths.RESULTS / "bench" / "fit.json", stored | provenance.environment())
