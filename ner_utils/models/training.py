"""What training has in common in both arms: looks at dev, resuming, and keeping time."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch.utils.data import Sampler
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import ExportableState, PrinterCallback

from ner_utils import efficiency, files, paths
from ner_utils.config.run import Run
from ner_utils.data.corpus import IGNORED
from ner_utils.models import backbones

NEVER = 10**9
# Progress is told in lines, which a log keeps; bars of a second's loading only bury them.
transformers.logging.disable_progress_bar()
transformers.logging.set_verbosity_error()


class Diverged(RuntimeError):
    """The loss on dev is not a number: the weights are worth nothing."""


class DevEvaluations(TrainerCallback, ExportableState):
    """Evaluates and saves at declared steps, stops when patience is spent, and keeps time.

    Seconds live in the checkpoint, so that they add up over interruptions; work that a killed
    process lost is not counted. Optimisation steps and looks are timed apart. Raises `Diverged`.
    """

    KEPT = ("training_seconds", "looks_seconds", "training_usage", "looks_usage", "starts")

    def __init__(self, steps: list[int], patience: int) -> None:
        self.steps, self.patience = steps, patience
        self.training_seconds = self.looks_seconds = 0.0
        self.training_usage: efficiency.Usage = {}
        self.looks_usage: efficiency.Usage = {}
        self.starts = 0
        self._mark = efficiency.mark()
        self._looking = False

    def state(self) -> dict[str, Any]:
        return {
            "args": {"steps": self.steps, "patience": self.patience},
            "attributes": {name: getattr(self, name) for name in self.KEPT},
        }

    def on_train_begin(self, args, state, control, **kwargs):
        self.starts += 1

    def on_step_begin(self, args, state, control, **kwargs):
        self._mark = efficiency.mark()

    def on_step_end(self, args, state, control, **kwargs):
        start, self._mark = self._mark, efficiency.mark()
        self.training_usage = efficiency.add(self.training_usage, efficiency.usage(start, self._mark))
        self.training_seconds = self.training_usage["seconds"]
        self._looking = state.global_step in self.steps
        control.should_evaluate = control.should_save = self._looking
        if state.global_step % max(1, state.max_steps // 20) == 0:
            left = self.training_seconds / state.global_step * (state.max_steps - state.global_step)
            print(f"step {state.global_step}/{state.max_steps}, {left:.0f} s of training left", flush=True)

    def on_log(self, args, state, control, **kwargs):
        # A look logs twice in the generative arm: its loss, then the F1 of what it generated.
        if self._looking:
            start, self._mark = self._mark, efficiency.mark()
            self.looks_usage = efficiency.add(self.looks_usage, efficiency.usage(start, self._mark))
            self.looks_seconds = self.looks_usage["seconds"]

    def on_evaluate(self, args, state, control, metrics, **kwargs):
        if not math.isfinite(metrics.get("eval_loss", 0.0)):
            raise Diverged(
                f"after step {state.global_step} the loss on dev is {metrics['eval_loss']}: the training has "
                "diverged. Lower model.training.learning_rate"
                + (", or use a GPU with bf16: this one computes in fp16" if args.fp16 else "")
            )

    def on_save(self, args, state, control, **kwargs):
        self._looking = False
        files.write_checksums(Path(args.output_dir) / f"checkpoint-{state.global_step}")
        looks = dev_evaluations(state.log_history)
        kept = {state.global_step, state.best_global_step, lowest_loss(looks)["step"]}
        for folder in Path(args.output_dir).glob("checkpoint-*"):
            if folder.name not in {f"checkpoint-{step}" for step in kept}:
                shutil.rmtree(folder)
        print(f"look {len(looks)}/{len(self.steps)} at dev: {_describe(looks[-1])}", flush=True)
        if out_of_patience(looks, self.patience):
            control.should_training_stop = True


class GroupedByLength:
    """Before `Trainer`: batches of like length in which every labelled token weighs the same.

    Seed and epoch alone decide the order: the library's grouping draws on global random state, so that an
    interrupted run would end otherwise from its second epoch on. The loss is divided by a constant:
    divided by a batch's own number of labels, as is usual, those in short sentences would weigh more.
    """

    def __init__(self, run: Run, **keywords: Any) -> None:
        super().__init__(**keywords)
        settings = run.model.training
        self._batch, self._step = settings.batch_size, settings.batch_size * settings.accumulation_steps
        self._labels = {True: _mean_labels(self.train_dataset), False: _mean_labels(self.eval_dataset)}
        self.model_accepts_loss_kwargs = True  # that the loss is whole, and not to be divided once more

    def _get_train_sampler(self, train_dataset=None) -> Sampler:
        lengths = [len(row["input_ids"]) for row in self.train_dataset]
        return LengthSampler(lengths, self._batch, self.args.seed)

    def divisor(self, rows: int) -> float:
        """By what the summed loss of ``rows`` sentences is to be divided, in training and in looks."""
        training = self.model.training
        return self._labels[training] * (self._step if training else rows)


def _mean_labels(rows: Iterable[dict]) -> float:
    return float(np.mean([sum(label != IGNORED for label in row["labels"]) for row in rows]))


class LengthSampler(Sampler):
    POOL = 50  # batches whose examples are sorted together: like lengths, and still a random order

    def __init__(self, lengths: list[int], batch: int, seed: int) -> None:
        self.lengths, self.batch, self.seed, self.epoch = np.array(lengths), batch, seed, 0

    def __len__(self) -> int:
        return len(self.lengths)

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer, also when it goes on in the middle of an epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        random = np.random.default_rng([self.seed, self.epoch])
        order = random.permutation(len(self))
        pools = np.split(order, range(self.POOL * self.batch, len(order), self.POOL * self.batch))
        order = np.concatenate([pool[np.argsort(self.lengths[pool], kind="stable")] for pool in pools])
        whole = len(order) // self.batch * self.batch  # what is left makes a smaller batch, at the end
        batches = random.permutation(order[:whole].reshape(-1, self.batch))
        return iter([*batches.ravel().tolist(), *order[whole:].tolist()])


def evaluation_steps(total: int, looks: int) -> list[int]:
    """Optimisation steps after which dev is looked at: equally spaced, the last step included."""
    return sorted({max(1, round(total * k / looks)) for k in range(1, looks + 1)})


def dev_evaluations(log: list[dict]) -> list[dict[str, float]]:
    """One row a look: step, epoch, dev_f1, dev_loss."""
    rows: dict[int, dict[str, float]] = {}
    for entry in log:
        if "eval_loss" in entry or "eval_f1" in entry:
            row = rows.setdefault(entry["step"], {"step": entry["step"], "epoch": round(entry["epoch"], 4)})
            row |= {f"dev_{key}": entry[f"eval_{key}"] for key in ("loss", "f1") if f"eval_{key}" in entry}
    return list(rows.values())


def lowest_loss(looks: list[dict[str, float]]) -> dict[str, float]:
    """The look with the lowest loss on dev, the first of equals."""
    return min(looks, key=lambda look: look["dev_loss"])


def out_of_patience(looks: list[dict[str, float]], patience: int) -> bool:
    """Whether the last ``patience`` looks brought no better dev F1."""
    scores = [look["dev_f1"] for look in looks]
    return len(scores) > patience and max(scores[-patience:]) <= max(scores[:-patience])


def _describe(look: dict[str, float]) -> str:
    return f"F1 {100 * look['dev_f1']:.2f}, loss {look['dev_loss']:.4f}"


def arguments(run: Run, parts: int) -> dict[str, Any]:
    """Arguments of `Trainer` for taggers and generators; `DevEvaluations` evaluates and stops. Each batch
    is computed in ``parts`` steps, which changes its memory alone."""
    settings = run.model.training
    gpu = torch.cuda.is_available()
    return {
        "output_dir": str(run.scratch),
        "learning_rate": settings.learning_rate,
        "per_device_train_batch_size": settings.batch_size // parts,
        "per_device_eval_batch_size": settings.batch_size // parts,
        "gradient_accumulation_steps": settings.accumulation_steps * parts,
        "num_train_epochs": settings.epochs,
        "weight_decay": settings.weight_decay,
        "warmup_steps": settings.warmup_fraction,  # below 1 it is a share of all steps
        "lr_scheduler_type": settings.schedule,
        "seed": run.seed,
        "bf16": backbones.dtype() == torch.bfloat16,
        "fp16": backbones.dtype() == torch.float16,
        "eval_strategy": "steps",
        "eval_steps": NEVER,
        "save_strategy": "steps",
        "save_steps": NEVER,
        "metric_for_best_model": "f1",
        "greater_is_better": True,
        "restore_callback_states_from_checkpoint": True,
        "logging_steps": 5,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": gpu,
    }


def on_one_device(arguments: TrainingArguments) -> TrainingArguments:
    """The arguments, changed so that `Trainer` uses one GPU. It would spread each batch over all that are
    visible, and multiply the batch by their number."""
    arguments._n_gpu = min(1, arguments.n_gpu)
    return arguments


def total_steps(run: Run, sentences: int) -> int:
    """Optimisation steps of a whole training."""
    settings = run.model.training
    batches = -(-sentences // settings.batch_size)
    return max(1, -(-batches // settings.accumulation_steps)) * settings.epochs


def last_checkpoint(folder: Path, ended: Callable[[dict], bool]) -> tuple[Path, dict] | None:
    """The newest checkpoint that training can go on from, and its trainer's state; ``ended`` says whether a
    state is that of a training that is over.

    A checkpoint is taken if its files are those that were written, and so are those of the checkpoints that
    its state calls the best so far. Where they are gone, because a later one was better, training makes that
    one again; a training that is over does not. Prints which checkpoints are damaged.
    """
    whole: dict[int, tuple[Path, dict]] = {}
    damaged: set[str] = set()
    for path in sorted(folder.glob("checkpoint-*")):
        if wrong := files.verify_checksums(path):
            damaged.add(path.name)
            reason = "not saved to its end" if wrong == [files.CHECKSUMS] else f"damaged ({', '.join(wrong)})"
            print(f"{paths.relative(path)} is {reason} and is not used", flush=True)
            continue
        state = json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
        whole[state["global_step"]] = path, state
    for _, (path, state) in sorted(whole.items(), reverse=True):
        needed = {f"checkpoint-{state['best_global_step']}"}
        needed.add(f"checkpoint-{lowest_loss(dev_evaluations(state['log_history']))['step']}")
        at_hand = needed <= {path.name for path, _ in whole.values()}
        if at_hand or (needed.isdisjoint(damaged) and not ended(state)):
            return path, state
    return None


def run_trainer(trainer: Trainer, run: Run) -> dict[str, Any]:
    """Train or go on training, and tell what happened.

    Returns training_seconds and looks_seconds (wall clock, checkpointing in neither) with the CPU's usage
    during each (see `efficiency.usage`), starts (1 + interruptions), steps, looks, losses (step, training
    loss), best_checkpoint, and the one that the loss would have chosen. Raises `Diverged`.
    """
    backbones.report_device()
    folder, patience = Path(trainer.args.output_dir), run.model.training.patience
    total = total_steps(run, len(trainer.train_dataset))
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(DevEvaluations(evaluation_steps(total, run.dev_evaluations), patience))

    def ended(state: dict) -> bool:
        return state["global_step"] >= total or out_of_patience(
            dev_evaluations(state["log_history"]), patience
        )

    kept = last_checkpoint(folder, ended)
    checkpoint, state = kept or (None, None)
    if state and ended(state):  # it was interrupted after its last checkpoint
        clock = state["stateful_callbacks"]["DevEvaluations"]["attributes"]
        clock = clock | {"starts": clock["starts"] + 1}
    else:
        if checkpoint:
            print(f"going on from {checkpoint.name}", flush=True)
        else:
            for path in [*folder.glob("checkpoint-*"), *folder.glob("merged-*")]:
                shutil.rmtree(path)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        looks = next(item for item in trainer.callback_handler.callbacks if isinstance(item, DevEvaluations))
        clock = looks.state()["attributes"]
        state = vars(trainer.state)
    if state["max_steps"] != total:
        raise RuntimeError(f"the trainer took {state['max_steps']} steps, {total} were declared")
    log = state["log_history"]
    return {
        **clock,
        "steps": state["global_step"],
        "steps_declared": total,
        "looks": dev_evaluations(log),
        "losses": [[entry["step"], entry["loss"]] for entry in log if "loss" in entry],
        # Found by its step: a moved folder must not lead astray.
        "best_checkpoint": f"checkpoint-{state['best_global_step']}",
        "lowest_loss_checkpoint": f"checkpoint-{lowest_loss(dev_evaluations(log))['step']}",
    }
