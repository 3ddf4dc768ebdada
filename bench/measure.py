"""How are two ways of doing the same work compared, and with what the machine allows?"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import torch

from ner_utils.models import backbones

TURNS = 3
Work = Callable[[], Any]


class Row(NamedTuple):
    """Rates in sentences/s (imports: in imports/s) of our way and of the other, one a turn."""

    what: str
    against: str
    ours: list[float]
    theirs: list[float]
    sentences: tuple[int, int]  # of our way, of the other
    floor: float | None = None  # sentences/s that the machine allows
    note: str = ""
    reach: float = 0.0  # the ratio that was the aim

    @property
    def ratio(self) -> tuple[float, float, float]:
        """Ratio of the medians, and the lowest and highest of single turns."""
        turns = [a / b for a, b in zip(self.ours, self.theirs, strict=True)]
        return median(self.ours) / median(self.theirs), min(turns), max(turns)


def timed(work: Callable[..., Any], *arguments: Any, **keywords: Any) -> tuple[float, Any]:
    """Seconds of some work, and its output."""
    start = time.perf_counter()
    output = work(*arguments, **keywords)
    return time.perf_counter() - start, output


def by_turns(works: dict[str, tuple[int, Work]]) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Rates of works by turns, each with its number of sentences, and their last outputs."""
    rates: dict[str, list[float]] = {name: [] for name in works}
    outputs = {}
    for _ in range(TURNS):
        for name, (number, work) in works.items():
            seconds, outputs[name] = timed(work)
            rates[name].append(number / seconds)
    return rates, outputs


def best_rate(amount: float, work: Work) -> float:
    """The highest rate of five tries."""
    return max(amount / timed(work)[0] for _ in range(5))


class Machine(NamedTuple):
    """The best rates of a machine: FLOP/s and bytes/s."""

    flops: float
    bytes: float

    @classmethod
    def measured(cls, dtype: torch.dtype = torch.float32) -> Machine:
        """Those of a large matrix product in a dtype (on a GPU in that of LLMs) and the sum of a large
        tensor."""
        gpu = torch.cuda.is_available()
        size, place = 2048, {"dtype": dtype}
        if gpu:
            size, place = 8192, {"device": "cuda", "dtype": torch.bfloat16}
        a, b = torch.randn(size, size, **place), torch.randn(size, size, **place)
        large = torch.randn(2**27 if gpu else 2**26, device=backbones.device())

        def multiply() -> None:
            _ = a @ b
            if gpu:
                torch.cuda.synchronize()

        return cls(best_rate(2 * size**3, multiply), best_rate(4 * large.numel(), lambda: float(large.sum())))

    def floor(self, sentences: int, operations: float, model: Any, passes: float) -> float:
        """Sentences/s that it allows: all operations at its best rate, or all weights read at its best rate
        in every pass over the model, whichever takes longer."""
        size = sum(weight.numel() * weight.element_size() for weight in model.parameters())
        return sentences / max(operations / self.flops, passes * size / self.bytes)


def linear_parameters(model: Any) -> int:
    """The number of weights that every position is multiplied with; the vocabulary's are not among them."""
    body = model.get_decoder() if hasattr(model, "lm_head") else model.base_model
    return sum(module.weight.numel() for module in body.modules() if isinstance(module, torch.nn.Linear))
