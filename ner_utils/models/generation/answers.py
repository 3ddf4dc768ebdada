"""How is an answer written, token by token?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

if TYPE_CHECKING:
    from ner_utils.models.generation.constraints import AnswerConstraint


class Answer(NamedTuple):
    """A prompt's index, its new token ids, and the log-probability of each: 0 where there was no choice."""

    index: int
    tokens: list[int]
    log_probabilities: list[float]


class Draft:
    """An answer that is being written, under a constraint or freely."""

    def __init__(self, index: int, constraint: AnswerConstraint | None) -> None:
        self.index, self.constraint = index, constraint
        self.tokens = constraint.begin() if constraint else []
        self.log_probabilities = [0.0] * len(self.tokens)

    def extend(self, scores: torch.Tensor, best: tuple[int, float]) -> list[int]:
        """Add the token that the model's scores [vocabulary] choose, which is ``best`` without a constraint,
        and the tokens that must follow it. Returns what was added."""
        if self.constraint:
            tokens, log_probability = self.constraint.choose(scores.float().cpu().numpy())
        else:
            tokens, log_probability = [best[0]], best[1]
        self.tokens += tokens
        self.log_probabilities += [log_probability, *[0.0] * (len(tokens) - 1)]
        return tokens

    def answer(self) -> Answer:
        """The finished answer."""
        return Answer(self.index, self.tokens, self.log_probabilities)


def best_tokens(scores: torch.Tensor, model: Any) -> list[tuple[int, float]]:
    """The best token of each row of a model's scores [rows, vocabulary], and its log-probability. Raises
    `FloatingPointError` where one is not finite."""
    scores = scores.float()
    best, tokens = scores.max(-1)
    log_probabilities = (best - scores.logsumexp(-1)).tolist()
    if not all(map(math.isfinite, log_probabilities)):
        raise FloatingPointError(f"{name_of(model)} computes no finite numbers in {model.dtype}")
    return list(zip(tokens.tolist(), log_probabilities, strict=True))


def name_of(model: Any) -> str:
    """A model's name in messages."""
    return model.config.name_or_path or type(model).__name__
