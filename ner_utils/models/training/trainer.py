"""How does a training run? Evaluations on dev, checkpoints, time, and going on after an interruption."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import ExportableState, PrinterCallback

from ner_utils import efficiency, files, paths
from ner_utils.config.run import Run
from ner_utils.models import backbones

NEVER = 10**9


class Diverged(RuntimeError):
    """The loss on dev is not finite, so the weights are useless."""


class DevEvaluations(TrainerCallback, ExportableState):
    """Evaluates and saves after declared steps, stops when patience is spent, and takes the time.

    Seconds and the peak of memory are stored in checkpoints, so that they hold over interruptions; work that
    a killed process lost is not counted. Optimisation, with the making of its batches, and evaluation are
    timed separately. Raises `Diverged`.
    """

    KEPT = ("training_usage", "looks_usage", "training_memory", "starts")

    def __init__(self, steps: list[int], patience: int) -> None:
        self.steps, self.patience = steps, patience
        self.training_usage: efficiency.Usage = {}
        self.looks_usage: efficiency.Usage = {}
        self.training_memory: dict[str, float] = {}
        self.starts = 0
        self._mark = efficiency.mark()
        self._evaluating = False

    def state(self) -> dict[str, Any]:
        return {
            "args": {"steps": self.steps, "patience": self.patience},
            "attributes": {name: getattr(self, name) for name in self.KEPT},
        }

    def on_train_begin(self, args, state, control, **kwargs):
        self.starts += 1
        self._mark = efficiency.mark()

    def on_step_end(self, args, state, control, **kwargs):
        start, self._mark = self._mark, efficiency.mark()
        self.training_usage = efficiency.add(self.training_usage, efficiency.usage(start, self._mark))
        self._evaluating = state.global_step in self.steps
        control.should_evaluate = control.should_save = self._evaluating
        if state.global_step % max(1, state.max_steps // 20) == 0:
            left = self.training_usage["seconds"] / state.global_step * (state.max_steps - state.global_step)
            print(f"step {state.global_step}/{state.max_steps}, {left:.0f} s of training left", flush=True)

    def on_log(self, args, state, control, **kwargs):
        # A generator logs twice: its loss, then the F1 of its answers.
        if self._evaluating:
            start, self._mark = self._mark, efficiency.mark()
            self.looks_usage = efficiency.add(self.looks_usage, efficiency.usage(start, self._mark))
            self.training_memory = _larger(self.training_memory, efficiency.peak_memory())

    def on_evaluate(self, args, state, control, metrics, **kwargs):
        if not math.isfinite(metrics.get("eval_loss", 0.0)):
            raise Diverged(
                f"after step {state.global_step} the loss on dev is {metrics['eval_loss']}: the training has "
                "diverged. Lower model.training.learning_rate"
                + (", or use a GPU with bf16: this one computes in fp16" if args.fp16 else "")
            )

    def on_save(self, args, state, control, **kwargs):
        self._evaluating = False
        files.write_checksums(Path(args.output_dir) / f"checkpoint-{state.global_step}")
        evaluations = evaluations_in(state.log_history)
        kept = {state.global_step, state.best_global_step, lowest_loss(evaluations)["step"]}
        for folder in Path(args.output_dir).glob("checkpoint-*"):
            if folder.name not in {f"checkpoint-{step}" for step in kept}:
                shutil.rmtree(folder)
        scores = "F1 {:.2f}, loss {:.4f}".format(100 * evaluations[-1]["dev_f1"], evaluations[-1]["dev_loss"])
        print(f"evaluation {len(evaluations)}/{len(self.steps)} on dev: {scores}", flush=True)
        if out_of_patience(evaluations, self.patience):
            control.should_training_stop = True
        self._mark = efficiency.mark()


def _larger(first: dict[str, float], second: dict[str, float]) -> dict[str, float]:
    return {key: max(value, first.get(key, 0.0)) for key, value in second.items()}


def evaluation_steps(total: int, evaluations: int) -> list[int]:
    """Optimisation steps after which dev is evaluated: equally spaced, the last step included."""
    return sorted({max(1, round(total * k / evaluations)) for k in range(1, evaluations + 1)})


Evaluation = dict[str, float]  # step, epoch, dev_f1, dev_loss


def evaluations_in(log: list[dict]) -> list[Evaluation]:
    """The evaluations on dev in a trainer's log."""
    rows: dict[int, Evaluation] = {}
    for entry in log:
        if "eval_loss" in entry or "eval_f1" in entry:
            row = rows.setdefault(entry["step"], {"step": entry["step"], "epoch": round(entry["epoch"], 4)})
            row |= {f"dev_{key}": entry[f"eval_{key}"] for key in ("loss", "f1") if f"eval_{key}" in entry}
    return list(rows.values())


def lowest_loss(evaluations: list[Evaluation]) -> Evaluation:
    """The evaluation with the lowest loss on dev, the first of equals."""
    return min(evaluations, key=lambda each: each["dev_loss"])


def out_of_patience(evaluations: list[Evaluation], patience: int) -> bool:
    """Whether the last ``patience`` evaluations brought no better F1 on dev."""
    scores = [each["dev_f1"] for each in evaluations]
    return len(scores) > patience and max(scores[-patience:]) <= max(scores[:-patience])


def arguments(run: Run, parts: int) -> dict[str, Any]:
    """Arguments of `Trainer` for all models; `DevEvaluations` evaluates, saves and stops. Each
    batch is computed in ``parts`` passes, which changes its memory alone."""
    settings = run.model.training
    gpu, dtype = torch.cuda.is_available(), backbones.dtype(run.model)
    return {
        "output_dir": str(run.scratch),
        "learning_rate": settings.learning_rate,
        "per_device_train_batch_size": settings.batch_size // parts,
        "per_device_eval_batch_size": settings.batch_size // parts,
        "gradient_accumulation_steps": settings.accumulation_steps * parts,
        "num_train_epochs": settings.epochs,
        "weight_decay": settings.weight_decay,
        "warmup_steps": settings.warmup_fraction,  # below 1 it is a share of all steps
        # The library's "constant" has no warm-up.
        "lr_scheduler_type": {"constant": "constant_with_warmup"}.get(settings.schedule, settings.schedule),
        "seed": run.seed,
        "bf16": dtype == torch.bfloat16,
        "fp16": dtype == torch.float16,
        "use_cpu": dtype == torch.bfloat16 and not gpu,  # without this, the library asks bf16 of a GPU
        "eval_strategy": "steps",
        "eval_steps": NEVER,
        "save_strategy": "steps",
        "save_steps": NEVER,
        "metric_for_best_model": "f1",
        "greater_is_better": True,
        "restore_callback_states_from_checkpoint": True,
        "logging_steps": 5,
        "logging_nan_inf_filter": False,  # the mean of finite losses alone would hide a divergence
        "report_to": os.environ.get("NER_REPORT_TO", "none").split(","),
        "run_name": paths.run_id(run.dataset_name, run.system, run.seed),
        "project": run.study,
        "disable_tqdm": True,
        "dataloader_pin_memory": gpu,
    }


def total_steps(run: Run, sentences: int) -> int:
    """Optimisation steps of a whole training."""
    settings = run.model.training
    batches = -(-sentences // settings.batch_size)
    return max(1, -(-batches // settings.accumulation_steps)) * settings.epochs


def last_checkpoint(folder: Path, ended: Callable[[dict], bool]) -> tuple[Path, dict] | None:
    """The newest checkpoint from which training can resume, and its trainer's state; ``ended`` says whether a
    state is that of a finished training.

    The files of a checkpoint must be as they were written, and so must be those of the checkpoints that its
    state calls the best so far. If these were deleted because a later one was better, an unfinished training
    makes that one again, but a finished one cannot. Prints which checkpoints are damaged.
    """
    whole: dict[int, tuple[Path, dict]] = {}
    damaged: set[str] = set()
    for path in sorted(folder.glob("checkpoint-*")):
        if names := files.verify_checksums(path):
            damaged.add(path.name)
            reason = "not saved to its end" if names == [files.CHECKSUMS] else f"damaged ({', '.join(names)})"
            print(f"{paths.relative(path)} is {reason} and is not used", flush=True)
            continue
        if not (path / "optimizer.pt").is_file():
            continue  # of a run with a result: no training can go on from there
        state = json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
        whole[state["global_step"]] = path, state
    for _, (path, state) in sorted(whole.items(), reverse=True):
        needed = {f"checkpoint-{state['best_global_step']}"}
        needed.add(f"checkpoint-{lowest_loss(evaluations_in(state['log_history']))['step']}")
        present = needed <= {path.name for path, _ in whole.values()}
        if present or (needed.isdisjoint(damaged) and not ended(state)):
            return path, state
    return None


def run_trainer(trainer: Trainer, run: Run) -> dict[str, Any]:
    """Train, or resume from the last checkpoint; returns the record of the training.

    The record has training_seconds and looks_seconds (wall clock of optimisation and evaluation, saving not
    counted), the CPU's usage during each (see `efficiency.usage`), starts (1 + interruptions), steps, looks
    (the evaluations on dev), losses (step, training loss), best_checkpoint and lowest_loss_checkpoint,
    parameters and training_memory. Raises `Diverged`.
    """
    backbones.report_device()
    folder, patience = Path(trainer.args.output_dir), run.model.training.patience
    total = total_steps(run, len(trainer.train_dataset))
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(DevEvaluations(evaluation_steps(total, run.dev_evaluations), patience))

    def ended(state: dict) -> bool:
        evaluations = evaluations_in(state["log_history"])
        return state["global_step"] >= total or out_of_patience(evaluations, patience)

    checkpoint, state = last_checkpoint(folder, ended) or (None, None)
    if state and ended(state):  # it was interrupted after its last checkpoint
        clock = state["stateful_callbacks"][DevEvaluations.__name__]["attributes"]
        clock = {"training_memory": efficiency.peak_memory()} | clock | {"starts": clock["starts"] + 1}
    else:
        if checkpoint:
            print(f"going on from {checkpoint.name}", flush=True)
        else:
            for path in paths.weight_folders(folder):
                shutil.rmtree(path)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        # A resumed trainer replaces callbacks by those of its checkpoint.
        callback = next(c for c in trainer.callback_handler.callbacks if isinstance(c, DevEvaluations))
        clock, state = callback.state()["attributes"], vars(trainer.state)
        clock["training_memory"] = _larger(clock["training_memory"], efficiency.peak_memory())
    if state["max_steps"] != total:
        raise RuntimeError(f"the trainer took {state['max_steps']} steps, {total} were declared")
    log = state["log_history"]
    return {
        **clock,
        "training_seconds": clock["training_usage"].get("seconds", 0.0),
        "looks_seconds": clock["looks_usage"].get("seconds", 0.0),
        "steps": state["global_step"],
        "steps_declared": total,
        "looks": evaluations_in(log),
        "losses": [[entry["step"], entry["loss"]] for entry in log if "loss" in entry],
        # A relative name, so that a moved folder still resolves.
        "best_checkpoint": f"checkpoint-{state['best_global_step']}",
        "lowest_loss_checkpoint": f"checkpoint-{lowest_loss(evaluations_in(log))['step']}",
        "parameters": efficiency.parameters(trainer.model),
    }
