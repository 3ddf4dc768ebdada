"""How is an answer kept to a grammar, so that it can be read and, if grounded, quotes the sentence?

llguidance follows the grammar and says which tokens may come next; a token that must come next is taken at
once. An answer that would exceed its limit is closed the shortest way: it then counts as whole, and stored
results depend on that (a zero-shot model rarely ends a list by itself).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llguidance import LLMatcher
from llguidance.hf import from_tokenizer


class Constraints:
    """Makes a constraint for each sentence: with ``schema``, answers have the form; with ``grounded``, every
    mention is also a span of the sentence.

    ``vocabulary`` is the number of a model's scores, ``limit`` the most tokens of an answer, its end token
    included. Each of ``ends`` ends an answer, and the first is written where an end is forced; the default is
    the tokenizer's end token.
    """

    def __init__(
        self, kind: str, form: Any, tokenizer: Any, vocabulary: int, limit: int, ends: Sequence[int] = ()
    ) -> None:
        self.kind, self.form, self.limit = kind, form, limit
        self.ends = list(ends) or [tokenizer.eos_token_id]
        self.end = self.ends[0]
        self.tokens = from_tokenizer(tokenizer, n_vocab=vocabulary, eos_token=self.ends)

    def of(self, words: Sequence[str]) -> AnswerConstraint:
        """The constraint for a sentence's words."""
        return AnswerConstraint(self, list(words) if self.kind == "grounded" else None)


class AnswerConstraint:
    """The constraint of one answer, which decides on every token of it."""

    def __init__(self, constraints: Constraints, words: list[str] | None) -> None:
        self.constraints, self.words = constraints, words
        self.answer: list[int] = []

    def begin(self) -> list[int]:
        """The tokens with which the answer must begin."""
        self.grammar = self.constraints.form.grammar(self.words)
        self.matcher = LLMatcher(self.constraints.tokens, self.grammar.lark)
        return self._write(self.matcher.compute_ff_tokens())

    def choose(self, scores: np.ndarray) -> tuple[list[int], float]:
        """The best permitted token by its scores [vocabulary] and the tokens that must follow it; the
        log-probability of that token among the permitted."""
        permitted = np.frombuffer(self.matcher.compute_bitmask(), dtype=np.uint8)
        ids = np.flatnonzero(np.unpackbits(permitted, count=len(scores), bitorder="little"))
        allowed = scores[ids]
        log_probability = -float(np.log(np.exp(allowed - allowed.max()).sum()))
        return self._take(int(ids[allowed.argmax()])), log_probability

    def _take(self, best: int) -> list[int]:
        """A token and the tokens that must follow it; if there is no room, the tokens that end the answer."""
        if best in self.constraints.ends:
            return self._end([best])
        self.matcher.consume_token(best)
        follow = [best, *self.matcher.compute_ff_tokens()]
        room = self.constraints.limit - len(self.answer) - len(follow) - 1
        # No closing has more tokens than bytes.
        if room < self.grammar.reserve and room < len(self._closing(follow)):
            return self._end([*self._closing([]), self.constraints.end])
        self.answer.append(best)
        self._write(follow[1:])
        return self._end([*follow, self.constraints.end]) if self.matcher.is_stopped() else follow

    def _end(self, tokens: list[int]) -> list[int]:
        """The last tokens of the answer."""
        del self.matcher, self.grammar  # those of all sentences would fill the memory
        return tokens

    def _closing(self, follow: list[int]) -> list[int]:
        """The tokens that close the answer, continued by ``follow``, the shortest way."""
        written = self.constraints.tokens.decode_bytes(self.answer + follow)
        return self.constraints.tokens.tokenize_bytes(self.grammar.closing(written))

    def _write(self, tokens: list[int]) -> list[int]:
        self.matcher.consume_tokens(tokens)
        if self.matcher.is_error():
            raise RuntimeError(f"the grammar of an answer failed: {self.matcher.get_error()}")
        self.answer += tokens
        return list(tokens)
