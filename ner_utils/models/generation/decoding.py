"""How does a model write its answers to prompts, greedily?

Packed where that is possible (see `packed`), otherwise by the library's `generate`, some prompts at a time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from transformers import GenerationConfig

from ner_utils.models.generation.answers import Answer, Draft, best_tokens
from ner_utils.models.generation.packed import packed_decoder

if TYPE_CHECKING:
    from ner_utils.models.generation.constraints import AnswerConstraint


class Decoder:
    """Writes a model's answers to prompts.

    ``shared`` are the token ids with which every prompt begins, ``pad`` is a token of the vocabulary,
    ``ends`` are the tokens each of which ends an answer, and ``limit`` is the number of tokens after which an
    answer is cut off.
    """

    def __init__(
        self, model: Any, shared: Sequence[int], pad: int, ends: Collection[int], limit: int
    ) -> None:
        self.model, self.pad, self.ends, self.limit = model, pad, frozenset(ends), limit
        self.packed = packed_decoder(model, list(shared), self.ends, limit)

    def answers(
        self,
        prompts: Sequence[Sequence[int]],
        rows: int,
        constraints: Sequence[AnswerConstraint | None] | None = None,
    ) -> Iterator[Answer]:
        """Yield the answers as they end, each with its end token unless it was cut off.

        At most ``rows`` answers are written at a time. Prompts of similar length should be neighbours, the
        longest first, so that memory does not grow later. Log-probabilities are those of the model's own
        logits. Raises `FloatingPointError` where these are not finite, `ValueError` where a prompt does not
        begin with the shared tokens.
        """
        constraints = constraints or [None] * len(prompts)
        if self.packed:
            yield from self.packed.answers(prompts, rows, constraints)
            return
        for start in range(0, len(prompts), rows):
            chosen = slice(start, start + rows)
            drafts = [Draft(index, each) for index, each in enumerate(constraints[chosen], start)]
            self._generate(prompts[chosen], drafts)
            yield from (draft.answer() for draft in drafts)

    @torch.inference_mode()
    def _generate(self, prompts: Sequence[Sequence[int]], drafts: Sequence[Draft]) -> None:
        """Write drafts with the library's loop."""
        width = max(map(len, prompts))
        ids = torch.tensor([[self.pad] * (width - len(prompt)) + list(prompt) for prompt in prompts])
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        settings = GenerationConfig(
            do_sample=False, max_new_tokens=self.limit, pad_token_id=self.pad, eos_token_id=sorted(self.ends)
        )

        def choose(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            """Scores [rows, vocabulary] that leave the library one token a row: the one of the draft."""
            best, written = best_tokens(scores, self.model), ids.shape[1] - width
            forced = torch.full_like(scores, float("-inf"))
            for row, draft in enumerate(drafts):
                ended = self.ends.intersection(draft.tokens[:written])
                if not ended and written == len(draft.tokens):
                    draft.extend(scores[row], best[row])
                forced[row, best[row][0] if ended else draft.tokens[written]] = 0
            return forced

        with self._library_defaults():
            self.model.generate(
                input_ids=ids.to(self.model.device),
                attention_mask=mask.to(self.model.device),
                generation_config=settings,
                logits_processor=[choose],
            )

    @contextmanager
    def _library_defaults(self):
        """The model without its own generation config, from which the library would add a penalty for
        repetitions and the like to ours: the logits would no longer be the model's."""
        own, self.model.generation_config = self.model.generation_config, GenerationConfig()
        try:
            yield
        finally:
            self.model.generation_config = own
