"""Which sentences are in a batch, and what does each token count in the loss?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler
from transformers import TrainingArguments

from ner_utils.config.run import Run
from ner_utils.data.corpus import IGNORED
from ner_utils.models import backbones


class GroupedByLength:
    """Mixin, to be listed before `Trainer`: batches group sentences of similar length, every labelled token
    has the same weight in the loss, and the model's head may have a learning rate of its own.

    The order depends on seed and epoch alone. The library's grouping draws on global random state, so that an
    interrupted training would end differently from its second epoch on. The loss is divided by a constant:
    divided by the number of labels in its batch, as is usual, labels in short sentences would weigh more.
    """

    loss_is_scaled_for_ga = True  # `divisor` counts all passes of a step
    heads: Sequence[str] = ()  # names of modules that are trained with ``head_learning_rate``, if it is given

    def __init__(self, run: Run, args: TrainingArguments, **keywords: Any) -> None:
        args._n_gpu = min(1, args.n_gpu)  # the library would multiply the batch by the number of GPUs
        super().__init__(args=args, **keywords)
        settings, self._head_rate = run.model.training, self.heads and run.model.head_learning_rate
        self._batch, self._step = settings.batch_size, settings.batch_size * settings.accumulation_steps
        self._labels = {True: _mean_labels(self.train_dataset), False: _mean_labels(self.eval_dataset)}

    def _get_train_sampler(self, train_dataset=None) -> Sampler:
        lengths = [len(row["input_ids"]) for row in self.train_dataset]
        return LengthSampler(lengths, self._batch, self.args.seed)

    def create_optimizer(self, model=None) -> torch.optim.Optimizer:
        optimizer = super().create_optimizer(model)
        if self._head_rate:
            backbones.set_head_rate(optimizer, self.model, self._head_rate, self.heads)
        return optimizer

    def evaluate(self, *arguments: Any, **keywords: Any) -> dict[str, float]:
        metrics = super().evaluate(*arguments, **keywords)
        if (f1 := self.dev_f1()) is not None:
            metrics["eval_f1"] = f1
            self.log({"eval_f1": f1})
        return metrics

    def dev_f1(self) -> float | None:
        """The F1 of predictions on dev, where the library does not compute it from the model's outputs."""
        return None

    def divisor(self, rows: int) -> float:
        """The number by which the summed loss of ``rows`` sentences is divided, in training or evaluation."""
        training = self.model.training
        return self._labels[training] * (self._step if training else rows)


def _mean_labels(rows: Iterable[dict]) -> float:
    return float(np.mean([sum(label != IGNORED for label in row["labels"]) for row in rows]))


class LengthSampler(Sampler):
    """Indices of sentences, batch after batch of similar lengths, in an order that seed and epoch decide."""

    POOL = 50  # batches whose sentences are sorted together: similar lengths, and still a random order

    def __init__(self, lengths: list[int], batch: int, seed: int) -> None:
        self.lengths, self.batch, self.seed, self.epoch = np.array(lengths), batch, seed, 0

    def __len__(self) -> int:
        return len(self.lengths)

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer, also when it resumes in the middle of an epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        random = np.random.default_rng([self.seed, self.epoch])
        order = random.permutation(len(self))
        pools = np.split(order, range(self.POOL * self.batch, len(order), self.POOL * self.batch))
        order = np.concatenate([pool[np.argsort(self.lengths[pool], kind="stable")] for pool in pools])
        whole = len(order) // self.batch * self.batch  # the rest makes a smaller batch, at the end
        batches = random.permutation(order[:whole].reshape(-1, self.batch))
        return iter([*batches.ravel().tolist(), *order[whole:].tolist()])
