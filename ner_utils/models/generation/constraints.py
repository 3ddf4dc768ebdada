"""Answers under a grammar: always readable, and where it is asked for, always from the sentence.

llguidance keeps the grammar and says which tokens may come next; what must come next is taken at once.
An answer that would outgrow its room is closed the shortest way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llguidance import LLMatcher
from llguidance.hf import from_tokenizer


class Constraints:
    """Makes a constraint for each sentence: ``schema`` for valid answers of any text, ``grounded`` for
    answers whose every mention is a span of the sentence.

    ``vocabulary`` is the number of a model's scores, ``limit`` the most tokens of an answer, its end token
    included. Each of ``ends`` ends an answer, the first where an end is forced; without them the
    tokenizer's end token does.
    """

    def __init__(
        self,
        kind: str,
        form: Any,
        tokenizer: Any,
        vocabulary: int,
        limit: int,
        ends: Sequence[int] = (),
    ) -> None:
        self.kind, self.form, self.limit = kind, form, limit
        self.ends = list(ends) or [tokenizer.eos_token_id]
        self.end = self.ends[0]
        self.tokens = from_tokenizer(tokenizer, n_vocab=vocabulary, eos_token=self.ends)

    def of(self, words: Sequence[str]) -> Constrained:
        """The constraint of a sentence."""
        return Constrained(self, list(words) if self.kind == "grounded" else None)


class Constrained:
    """One answer under its grammar, see `answers.Constraint`."""

    def __init__(self, makes: Constraints, words: list[str] | None) -> None:
        self.makes, self.words = makes, words
        self.answer: list[int] = []

    def begin(self) -> list[int]:
        """The tokens with which the answer must begin."""
        self.grammar = self.makes.form.grammar(self.words)
        self.matcher = LLMatcher(self.makes.tokens, self.grammar.lark)
        return self._write(self.matcher.compute_ff_tokens())

    def choose(self, scores: np.ndarray) -> tuple[list[int], float]:
        """The best permitted token by its scores [vocabulary] with those that must follow it, and the log of
        its probability among the permitted."""
        permitted = np.frombuffer(self.matcher.compute_bitmask(), dtype=np.uint8)
        ids = np.flatnonzero(np.unpackbits(permitted, count=len(scores), bitorder="little"))
        allowed = scores[ids]
        most = allowed.max()
        taken = -float(np.log(np.exp(allowed - most).sum()))
        return self._take(int(ids[allowed.argmax()])), taken

    def _take(self, best: int) -> list[int]:
        """A token and those that must follow it; where there is no room for it, those that end the answer."""
        if best in self.makes.ends:
            return self._end([best])
        self.matcher.consume_token(best)
        follow = [best, *self.matcher.compute_ff_tokens()]
        room = self.makes.limit - len(self.answer) - len(follow) - 1
        # No closing has more tokens than bytes.
        if room < self.grammar.reserve and room < len(self._closing(follow)):
            return self._end([*self._closing([]), self.makes.end])
        self.answer.append(best)
        self._write(follow[1:])
        return self._end([*follow, self.makes.end]) if self.matcher.is_stopped() else follow

    def _end(self, tokens: list[int]) -> list[int]:
        """The last tokens, now that the grammar is done with."""
        del self.matcher, self.grammar  # one a sentence would add up over a corpus
        return tokens

    def _closing(self, follow: list[int]) -> list[int]:
        """Tokens that close the answer and what follows it the shortest way."""
        written = self.makes.tokens.decode_bytes(self.answer + follow)
        return self.makes.tokens.tokenize_bytes(self.grammar.closing(written))

    def _write(self, tokens: list[int]) -> list[int]:
        self.matcher.consume_tokens(tokens)
        if self.matcher.is_error():
            raise RuntimeError(f"the grammar of an answer failed: {self.matcher.get_error()}")
        self.answer += tokens
        return list(tokens)
