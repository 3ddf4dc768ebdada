"""Does it fit? Memory, disk and time of a run, before anything is downloaded.

``python -m ner_utils.experiments.memory.fit STUDY [OVERRIDES] [--card-gb 24] [--refuse]`` prints a table.
Memory comes from `footprint`, disk from numbers of parameters. Time is a lower bound: all products at a
card's peak, or all weights read at its bandwidth once in every pass, whichever takes longer; a CPU's are
those of a stored bench of this processor, or assumptions. An estimate warns, and refuses where it is told to.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ner_utils import config, data, paths, processes
from ner_utils.config.load import ConfigError
from ner_utils.config.run import Run
from ner_utils.config.schema import Split
from ner_utils.experiments.memory.footprint import Batch, Footprint, configuration, footprint
from ner_utils.forms.registry import form
from ner_utils.results import provenance

GIB = 2**30


class Card(NamedTuple):
    """A GPU: its memory in GiB, FLOP/s (dense, bf16, fp32 accumulation), and bytes/s of its memory."""

    name: str
    gib: int
    flops: float
    bandwidth: float


# NVIDIA's whitepaper on the Ada architecture, for GeForce, and its data sheet of the A100 (SXM).
CARDS = (
    Card("RTX 4060", 8, 30.2e12, 272e9),
    Card("RTX 4080", 16, 97.5e12, 717e9),
    Card("RTX 4090", 24, 165.2e12, 1008e9),
    Card("A100", 40, 312e12, 1555e9),
    Card("A100", 80, 312e12, 2039e9),
)
ASSUMED = Card("assumed", 0, 0.25e12, 10e9)  # two cores of a server, fp32: used until `make bench` measures
RESERVE = GIB  # of a card: CUDA's context, libraries, their workspaces, fragments
PROCESS = GIB  # of the host: Python and its libraries
SHARD = 5 * GIB  # a file of weights on its way to the device
HEAP = 1.6  # bytes that glibc's heap holds for each in use: of eleven runs, none of them in `bench/fit.py`
CHECKPOINTS = 4  # of the highest F1, the lowest loss, the last look, and the one that is being written
EXAMPLE = 64  # tokens of an example in a few-shot prompt
TEMPLATE = 32  # tokens that a chat template puts around an instruction and a sentence
SLACK = {"corpus": 10, "declared": 2}  # how much longer than the bound a job may take


class Lengths(NamedTuple):
    """Tokens: of the longest batch; of an epoch, and of all that test and looks read and write, beginnings
    that prompts share left out; numbers of sentences; and the source: ``corpus``, or ``declared`` where
    every sentence is taken to have ``max_length``."""

    batch: Batch
    trained: int
    read: int
    written: int
    train: int
    predicted: int
    source: str


class Estimate(NamedTuple):
    """Numbers of parameters, bytes and minutes. What is not trained has no ``training``."""

    parameters: int
    trainable: int
    weights: int
    training: int
    prediction: int
    disk: int
    minutes: float
    source: str

    @property
    def peak(self) -> int:
        """Bytes at the worst moment."""
        return max(self.training, self.prediction)


# --------------------------------------------------------------------------- lengths
def lengths_of(run: Run) -> Lengths:
    """Lengths from the corpus where it is at hand, with a guess at how many tokens its text has."""
    limit, splits = run.model.training.max_length, run.dataset.splits
    writes = run.model.approach == "generation"
    shape = form(run.model, run.dataset) if writes else None
    instruction = TEMPLATE + _tokens(shape.instruction(), 4) + run.few_shot * EXAMPLE if writes else 0
    shared = min(limit // 2, instruction)
    sizes = {name: _sentences(split) for name, split in splits.items()}
    looked = run.dev_sample if writes and run.dev_sample else sizes["dev"]
    train = min(run.train_sentences or sizes["train"], sizes["train"])
    predicted = (run.test_sentences or sizes["test"]) + (not run.untrained) * run.dev_evaluations * looked
    file = splits["train"].file
    if not any((folder / file).is_file() for folder in paths.data_dirs(run.dataset_name)):
        answer = min(run.model.max_new_tokens, (limit - shared) // 2) if writes else 0
        batch = Batch(limit, limit - answer, answer, shared)
        sums = (train * (limit - shared), predicted * (batch.prompt - shared), predicted * answer)
        return Lengths(_scored(run, batch), *sums, train, predicted, "declared")
    sentences = data.load_split(run.dataset_name, run.dataset, "train")
    texts = [(sentence.text, shape.target(sentence) if writes else "") for sentence in sentences]

    def tokens(size: int) -> list[list[int]]:
        """Of all sentences, their answers, and both, a token for so many bytes."""
        pairs = [[_tokens(part, size) for part in pair] for pair in texts]
        return [*map(list, zip(*pairs, strict=True)), [min(limit - shared, sum(pair)) for pair in pairs]]

    # English has about four bytes a token, links and strange names two: the bound on time takes the former,
    # the longest batch the latter.
    prompt, answer, whole = (max(part) for part in tokens(2))
    batch = Batch(shared + whole, shared + min(prompt, whole), min(answer, whole - 1), shared)
    prompt, answer, whole = (sum(part) / len(sentences) for part in tokens(4))
    sums = (train * whole, predicted * prompt, predicted * answer)
    return Lengths(_scored(run, batch), *map(round, sums), train, predicted, "corpus")


def _scored(run: Run, batch: Batch) -> Batch:
    """A batch whose loss is on the whole sequence scores all of it, and shares no beginning."""
    whole = run.model.approach == "generation" and run.model.loss == "sequence"
    return batch._replace(answer=batch.longest - 1, shared=0) if whole else batch


def _sentences(split: Split) -> int:
    """Sentences of a split; about a dozen an abstract, and some thousand where nothing is known."""
    return split.sentences or 12 * (split.documents or 400)


def _tokens(text: str, size: int) -> int:
    return 2 + len(text.encode()) // size if text else 0


# -------------------------------------------------------------------------- estimates
def cpu() -> Card:
    """The speed and bandwidth of this machine's CPU as `make bench` measured and stored them, or `ASSUMED`
    where no bench of this very processor is stored."""
    file = paths.RESULTS / "bench" / "bench.json"
    if not file.is_file():
        return ASSUMED
    bench = json.loads(file.read_text(encoding="utf-8"))
    if bench["machine"] != _machine():
        return ASSUMED
    return Card("measured", 0, bench["flops"], bench["bytes"])


@functools.cache
def _machine() -> dict[str, str]:
    return provenance.environment()["machine"]


def estimate(
    run: Run, card: Card | None, lengths: Lengths | None = None, sparing: bool = False, heap: float = HEAP
) -> Estimate:
    """What a run needs of a card, or of a CPU where there is none. ``sparing`` as `footprint.trace` has it,
    with looks at dev that load no second model; ``heap`` is for a CPU. Raises `ConfigError` without an
    architecture."""
    configuration(run.model)
    lengths = lengths or lengths_of(run)
    tags = len(data.tag_names(run.dataset))
    model = run.model
    found = footprint(model, tags, not run.untrained, card is not None, lengths.batch, sparing)
    held = found.weights + 8 * found.trainable  # AdamW keeps two moments in fp32
    step = found.training - found.weights
    prediction = found.prediction if card else _on_cpu(run, found, heap)
    if not card:
        held, step = held + _file(run, found) * _packed(run), heap * step
    if model.approach == "generation" and not sparing:
        # A look at dev loads the model that predicts beside the one that is trained; on a CPU it maps the
        # file once more, and takes the blocks that the step has freed, unless they were given back (1).
        kept = 0 if card or heap == 1 else _file(run, found) + step
        step = max(step, kept, prediction)
    training = 0 if run.untrained else round(held + step)
    minutes = _seconds(run, found, lengths, card or cpu()) / 60
    return Estimate(*found[:3], training, round(prediction), _disk(run, found, card), minutes, lengths.source)


def _packed(run: Run) -> bool:
    return run.model.approach == "generation" and run.model.quantisation is not None


def _file(run: Run, found: Footprint) -> int:
    """Bytes of an LLM's file of fp32 weights, which a CPU maps into memory and copies or quantises from."""
    return 4 * (found.parameters - found.trainable) * (run.model.approach == "generation")


def _on_cpu(run: Run, found: Footprint, heap: float) -> float:
    """The peak of prediction in a process of its own: of its pass, or of getting the weights ready."""
    reading = found.prediction_weights + heap * (found.prediction - found.prediction_weights)
    if not _packed(run):
        return reading
    file = _file(run, found)
    whole = run.untrained or run.model.merge_adapter
    return max(reading, file * (1 + heap)) if whole else file + reading


def _disk(run: Run, found: Footprint, card: Card | None) -> int:
    """Bytes of the download, of checkpoints with their optimizer, and of merged weights."""
    checkpoints = CHECKPOINTS * 12 * found.trainable
    if not run.model.lora:
        return 4 * found.parameters + checkpoints
    writes = run.model.approach == "generation"
    base, merged = (
        found.parameters - found.trainable,
        writes and not run.untrained and run.model.merge_adapter,
    )
    return 2 * base + checkpoints + merged * (2 if card else 4) * base


def _seconds(run: Run, found: Footprint, lengths: Lengths, card: Card) -> float:
    """The shortest time that training, looks and test can take."""
    shape, model = configuration(run.model), run.model
    embeddings = shape.vocab_size * shape.hidden_size
    if model.approach == "tagging":
        weights, each = found.parameters - embeddings, 4 if model.lora else 6
        passes = lengths.read / model.prediction_batch_tokens
    else:
        tables = 1 if shape.tie_word_embeddings else 2
        weights = found.parameters - tables * embeddings - found.trainable * bool(model.lora)
        each = 4 if model.lora else 6
        passes = lengths.written / model.prediction_batch_size
    # A product with a weight: 2 operations forward, 2 for the input's gradient, and 2 for its own if trained.
    epochs = 0 if run.untrained else model.training.epochs
    operations = weights * (each * epochs * lengths.trained + 2 * (lengths.read + lengths.written))
    steps = epochs * lengths.train / model.training.batch_size
    moved = 2 * steps * found.weights + passes * found.prediction_weights
    return max(operations / card.flops, moved / card.bandwidth)


def smallest(found: Estimate) -> Card | None:
    """The smallest card that holds it."""
    return next((card for card in CARDS if fits(found, card.gib * GIB)), None)


def fits(found: Estimate, memory: float) -> bool:
    """Whether a card with so many bytes holds it, and what CUDA needs for itself."""
    return found.peak + RESERVE <= memory


def resources(run: Run) -> dict[str, int]:
    """What a job asks of a cluster, with room to spare: ``mem_mb`` of the host, ``gpus``, and ``runtime`` in
    minutes. The models that PyPI serves are for machines without a GPU; the others get one."""
    if run.model.weights.pypi:
        found, gpus = estimate(run, None), 0
        memory = 2 * PROCESS + 1.25 * found.peak  # the process that trains waits while another predicts
    else:
        found = estimate(run, smallest(estimate(run, CARDS[-1])) or CARDS[-1])
        gpus, memory = 1, 3 * PROCESS + SHARD
    minutes = max(60, SLACK[found.source] * found.minutes)
    return {"mem_mb": round(memory / 1e6), "gpus": gpus, "runtime": round(minutes)}


# ----------------------------------------------------------------------------- telling
def configurations(runs: Iterable[Run]) -> list[Run]:
    """One run for each corpus and system with weights of its own: seeds need the same."""
    return list({(run.dataset_name, run.system): run for run in runs if not run.members}.values())


def warnings(runs: Iterable[Run]) -> Iterator[str]:
    """A line for each configuration that needs more memory than this machine has."""
    here = _here()
    for run in (run for run in configurations(runs) if run.model.architecture):
        need = estimate(run, here.card).peak + here.reserve
        if need > here.memory:
            yield (
                f"{run.system} on {run.dataset_name} needs about {need / GIB:.1f} GiB of memory, {here.name} "
                f"has {here.memory / GIB:.1f}; make fit STUDY={run.study} says more"
            )


class Here(NamedTuple):
    """Where this process computes: a name, the card if it is one, bytes of memory, and those kept free."""

    name: str
    card: Card | None
    memory: int
    reserve: int


def _here() -> Here:
    import torch

    if torch.cuda.is_available():
        return Here("the GPU", CARDS[-1], torch.cuda.get_device_properties(0).total_memory, RESERVE)
    return Here("this machine, without a GPU,", None, processes.memory_limit(), 2 * PROCESS)


BATCHES = {  # by approach and step, what is lowered where memory does not suffice
    ("tagging", "training"): "training.batch_size",
    ("tagging", "prediction"): "prediction_batch_tokens",
    ("generation", "training"): "training.batch_size",
    ("generation", "prediction"): "prediction_batch_size",
}


OTHERWISE = "lower model.training.max_length, or take a smaller model"


def advice(run: Run, step: str, least: bool = False) -> str:
    """What to lower where memory did not suffice for the ``training`` or the ``prediction`` of a run: the
    largest batch that fits by estimate, or what else, if none does; or if the ``least`` was tried already."""
    key = BATCHES[run.model.approach, step]
    *parents, name = key.split(".")
    owner = getattr(run.model, parents[0]) if parents else run.model
    declared = getattr(owner, name)
    size = 1 if least else declared
    here = _here()
    try:
        while True:
            changed = owner.model_copy(update={name: size})
            model = run.model.model_copy(update={parents[0]: changed}) if parents else changed
            found = estimate(run.model_copy(update={"model": model}), here.card)
            need = getattr(found, step) + here.reserve
            if need <= here.memory or size == 1:
                break
            size //= 2
    except (ConfigError, MemoryError, OSError, RuntimeError):  # no architecture, or no memory to trace it
        return OTHERWISE if least else f"lower model.{key}, now {declared}"
    there = f"{need / GIB:.1f} of {here.memory / GIB:.1f} GiB"
    if least or need > here.memory:
        return f"by estimate, even model.{key}=1 needs {there}: {OTHERWISE}"
    if size == declared:
        return f"by estimate it needs {there}, so something else took memory; or lower model.{key}={declared}"
    return f"by estimate, model.{key}={size} fits ({there}), and {declared} does not"


def table(runs: Iterable[Run], gib: float | None) -> Iterator[list[str]]:
    """Rows of text, the titles first; with a card's memory, whether it holds each."""
    yield [
        "corpus",
        "system",
        "parameters",
        "trained",
        "training",
        "prediction",
        "disk",
        "at least",
        "lengths",
        "",
    ]
    for run in configurations(runs):
        on_cpu = run.model.weights.pypi and gib is None
        found = estimate(run, None if on_cpu else CARDS[-1])
        card = next((card for card in CARDS if card.gib >= gib), CARDS[-1]) if gib else smallest(found)
        found = found if on_cpu else estimate(run, card or CARDS[-1])
        verdict = "CPU" if on_cpu else f"{card.gib} GB, {card.name}" if card else f"over {CARDS[-1].gib} GB"
        if gib:
            verdict = "fits" if fits(found, gib * GIB) else "does not fit"
        counts = (f"{number / 1e6:,.1f} M" for number in found[:2])
        sizes = (f"{size / GIB:.1f} GiB" for size in (found.training, found.prediction, found.disk))
        source = "" if found.source == "corpus" else "all at max_length"
        yield [run.dataset_name, run.system, *counts, *sizes, f"{found.minutes:,.0f} min", source, verdict]


def main() -> int:
    """Print the table of a study; 1 where it was told to refuse, and something does not fit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study")
    parser.add_argument("overrides", nargs="?", default="")
    parser.add_argument("--card-gb", type=float, help="memory of a card, to be told what it holds")
    parser.add_argument("--refuse", action="store_true", help="exit with 1 where something does not fit")
    options = parser.parse_args()
    rows = list(table(config.runs_of(options.study, options.overrides), options.card_gb))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    if any(row[-1] == "CPU" for row in rows):
        speed = cpu()
        rates = f"{speed.flops / 1e9:.0f} GFLOP/s and {speed.bandwidth / 1e9:.0f} GB/s"
        print(f"CPU: {rates}, {speed.name} (`make bench` measures those of a processor)")
    return int(options.refuse and any(row[-1].startswith(("does not", "over")) for row in rows))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ConfigError, data.DataError) as error:
        sys.exit(f"error: {error}")
