"""How are many prompts that begin alike answered in one pass a step?

The shared beginning passes through the model once. All tokens of a step, those of new prompts too, go through
the linear layers as one sequence, and a row whose answer has ended takes the next prompt at once: nothing is
computed for padding or for finished rows. (Orca, OSDI 2022, and vLLM, SOSP 2023, schedule like this on GPUs.)

`packed_decoder` says when this is used: where there is a shared beginning, where every layer keeps plain keys
and values (`shares_beginnings`), and where a trial gives the model's own logits. Other models, with linear
attention, sliding windows, or capped or biased attention, answer through the library's `generate`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.nn.functional import linear, scaled_dot_product_attention
from transformers import AttentionInterface, DynamicCache
from transformers.cache_utils import Cache, DynamicLayer

from ner_utils.models.generation.answers import Answer, Draft, best_tokens, name_of

if TYPE_CHECKING:
    from ner_utils.models.generation.constraints import AnswerConstraint


def shares_beginnings(config: Any) -> bool:
    """Whether every layer of a model keeps plain keys and values, so that one pass over a beginning serves
    all rows. In linear attention and sliding windows, padding would become part of the state."""
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=config).layers)


def packed_decoder(model: Any, shared: list[int], ends: frozenset[int], limit: int) -> PackedDecoder | None:
    """The packed decoder of a model for prompts that begin with the tokens ``shared``; None where the model
    does not compute the same when packed. Prints the reason if a trial showed it."""
    if not shared or not shares_beginnings(model.config):
        return None
    reason = PackedDecoder(model, shared[:8], ends, limit).trial()
    if reason:
        print(f"{name_of(model)} cannot be decoded packed, so it takes longer: {reason}", flush=True)
    return None if reason else PackedDecoder(model, shared, ends, limit)


class PackedDecoder:
    """Writes a model's answers to prompts that begin with the tokens ``shared``, see `decoding.Decoder`."""

    def __init__(self, model: Any, shared: list[int], ends: frozenset[int], limit: int) -> None:
        self.model, self.shared, self.ends, self.limit = model, shared, ends, limit
        plain = (module for module in model.modules() if type(module) is torch.nn.Linear)
        self._layers = (
            {module: _LinearOfFewRows(module) for module in plain} if model.device.type == "cpu" else {}
        )
        with torch.inference_mode():
            self._beginning = self._last(shared).past_key_values

    @torch.inference_mode()
    def trial(self) -> str:
        """Why a packed step does not compute what the model computes by itself, tried on a few tokens;
        empty if it does."""
        pending = [self.shared[:2], self.shared[:1]]
        rows = [_Row(None, len(self.shared), ids) for ids in pending]
        try:
            packed = self._step(rows, 0, self._store(2)).float()
        except (NotImplementedError, TypeError, ValueError, RuntimeError) as error:
            return str(error)
        own = torch.cat([self._last(self.shared + ids).logits[:, -1] for ids in pending]).float()
        # Rounding moves logits by hundredths of their spread, another attention by about their spread.
        return "" if (packed - own).abs().max() <= 0.2 * own.std() else "its logits would differ"

    @torch.inference_mode()
    def answers(
        self, prompts: Sequence[Sequence[int]], most: int, constraints: Sequence[AnswerConstraint | None]
    ) -> Iterator[Answer]:
        """Yield the answers as they end, at most ``most`` being written at a time."""
        shared = len(self.shared)
        if any(list(prompt[:shared]) != self.shared for prompt in prompts):
            raise ValueError("a prompt does not begin with the tokens that all prompts share")
        most = min(most, len(prompts))
        waiting = list(range(len(prompts)))[::-1]
        rows: list[_Row] = []
        store = self._store(most)
        while rows or waiting:
            old = len(rows)
            while waiting and len(rows) < most:
                index = waiting.pop()
                draft = Draft(index, constraints[index])
                rows.append(_Row(draft, shared, [*prompts[index][shared:], *draft.tokens]))
            scores = self._step(rows, old, store)
            for place, (row, best) in enumerate(zip(rows, best_tokens(scores, self.model), strict=True)):
                row.used += len(row.pending)
                row.pending = row.draft.extend(scores[place], best)
            for place in reversed(range(len(rows))):
                draft = rows[place].draft
                if draft.tokens[-1] in self.ends or len(draft.tokens) >= self.limit:
                    yield draft.answer()
                    last = rows.pop()  # rows stay together: the last one takes the place of the ended one
                    if place < len(rows):
                        rows[place] = last
                        for layer in store.layers:
                            layer.copy_row(len(rows), place)

    def _last(self, ids: list[int]) -> Any:
        """What the model itself computes for a prompt, with the logits of its last token."""
        # An index instead of 1, the last position as a slice: torch would copy the whole matrix of the
        # vocabulary for a slice of one position (two seconds with 150,000 tokens).
        kept, device = torch.tensor([len(ids) - 1]), self.model.device
        ids = torch.tensor([ids], device=device)
        return self.model(input_ids=ids, use_cache=True, logits_to_keep=kept.to(device))

    def _store(self, rows: int) -> Cache:
        return Cache(layers=[_KeysAndValues(layer, rows) for layer in self._beginning.layers])

    def _step(self, rows: Sequence[_Row], old: int, store: Cache) -> torch.Tensor:
        """One pass over all pending tokens, of rows that have begun (the first ``old``) and of new ones;
        returns scores [rows, vocabulary] after each row's last token."""
        device = self.model.device
        counts = torch.tensor([len(row.pending) for row in rows])
        begins = torch.tensor([row.used for row in rows])
        ids = torch.tensor([token for row in rows for token in row.pending])
        owner = torch.repeat_interleave(torch.arange(len(rows)), counts)
        offset = torch.arange(len(ids)) - torch.repeat_interleave(counts.cumsum(0) - counts, counts)
        positions = begins[owner] + offset
        groups = [
            _group(slice(first, last), owner, offset, positions, int(counts[first:last].max()), self.model)
            for first, last in ((0, old), (old, len(rows)))
            if first < last
        ]
        for layer in store.layers:
            layer.expect(owner.to(device), positions.to(device), int(positions.max()) + 1)
        with self._packed_layers():
            return self.model(
                input_ids=ids[None].to(device),
                position_ids=positions[None].to(device),
                past_key_values=store,
                use_cache=True,
                groups=groups,
                logits_to_keep=(counts.cumsum(0) - 1).to(device),
            ).logits[0]

    @contextmanager
    def _packed_layers(self):
        """The model with packed attention and faster linear layers, for one step."""
        # `set_attn_implementation` does the same in 3 ms, which every step would pay.
        config, usual = self.model.config, self.model.config._attn_implementation
        config._attn_implementation = "packed"
        for module, faster in self._layers.items():
            module.forward = faster
        try:
            yield
        finally:
            config._attn_implementation = usual
            for module in self._layers:
                del module.forward


class _Row:
    """A draft, the number of its tokens in the store, and the tokens that come next."""

    def __init__(self, draft: Draft | None, used: int, pending: list[int]) -> None:
        self.draft, self.used, self.pending = draft, used, pending


class _Group(NamedTuple):
    """Neighbouring rows whose attention is computed together."""

    rows: slice
    tokens: torch.Tensor  # [tokens] of these rows in the packed sequence
    owner: torch.Tensor  # [tokens] row within the group
    offset: torch.Tensor  # [tokens] place among the row's queries
    mask: torch.Tensor  # [rows, 1, queries, width], 0 where a query sees a key, -inf elsewhere


def _group(rows: slice, owner, offset, positions, queries: int, model: Any) -> _Group:
    tokens = ((owner >= rows.start) & (owner < rows.stop)).nonzero()[:, 0]
    owner, offset = owner[tokens] - rows.start, offset[tokens]
    # A query that is no token sees the first key, because a row of -inf alone would be NaN.
    position = torch.zeros(rows.stop - rows.start, queries, dtype=torch.long)
    position[owner, offset] = positions[tokens]
    unseen = torch.arange(int(position.max()) + 1) > position[:, None, :, None]
    mask = torch.zeros(unseen.shape, dtype=model.dtype).masked_fill_(unseen, float("-inf"))
    return _Group(rows, *(each.to(model.device) for each in (tokens, owner, offset, mask)))


def _attend(module, query, key, value, attention_mask, groups, scaling=None, **rest):
    """Attention of a packed sequence: query [1, heads, tokens, size]; key and value are the store's
    [rows, key heads, capacity, size]. Heads that share keys become further queries, so that no key is
    repeated."""
    unknown = [name for name in ("softcap", "sliding_window", "position_bias", "s_aux") if rest.get(name)]
    if unknown:
        raise NotImplementedError(f"its attention has {', '.join(unknown)}")
    heads, size = query.shape[1], query.shape[3]
    shared = heads // key.shape[1]
    output = query.new_empty(query.shape[2], heads, size)
    for rows, tokens, owner, offset, mask in groups:
        number, _, queries, width = mask.shape
        padded = query.new_zeros(number, queries, heads, size)
        padded[owner, offset] = query[0, :, tokens].transpose(0, 1)
        padded = padded.view(number, queries, -1, shared, size).permute(0, 2, 3, 1, 4)
        attended = scaled_dot_product_attention(
            padded.reshape(number, -1, shared * queries, size),
            key[rows, :, :width],
            value[rows, :, :width],
            attn_mask=mask.repeat(1, 1, shared, 1),
            scale=scaling,
        )
        attended = attended.view(number, -1, shared, queries, size).permute(0, 3, 1, 2, 4)
        attended = attended.reshape(number, queries, heads, size)[owner, offset]
        output[tokens] = attended.to(output.dtype)  # under autocast, attention has another dtype
    return output[None], None


AttentionInterface.register("packed", _attend)


class _KeysAndValues(DynamicLayer):
    """Keys and values [rows, heads, capacity, size], each row beginning with the shared ones; a token's place
    in its row is its position."""

    def __init__(self, beginning: DynamicLayer, rows: int) -> None:
        super().__init__()
        self.lazy_initialization(beginning.keys, beginning.values)
        self.keys, self.values = (
            states.expand(rows, -1, -1, -1).clone() for states in (beginning.keys, beginning.values)
        )

    def expect(self, owner: torch.Tensor, positions: torch.Tensor, width: int) -> None:
        """Prepare for the next tokens: their rows, their positions, and the width that they need."""
        self._owner, self._positions = owner, positions
        if width > self.keys.shape[2]:
            more = width + width // 4 - self.keys.shape[2]
            self.keys, self.values = (
                torch.nn.functional.pad(states, (0, 0, 0, more)) for states in (self.keys, self.values)
            )

    def update(self, key_states, value_states, *args, **kwargs) -> tuple[torch.Tensor, torch.Tensor]:
        for states, new in ((self.keys, key_states), (self.values, value_states)):
            states[self._owner, :, self._positions] = new[0].transpose(0, 1).to(states.dtype)
        return self.keys, self.values

    def copy_row(self, source: int, target: int) -> None:
        for states in (self.keys, self.values):
            states[target] = states[source]


class _LinearOfFewRows:
    """A linear layer on a CPU: for some dozen rows, the product with the weights on the left is up to three
    times as fast."""

    MOST = 256

    def __init__(self, layer: torch.nn.Linear) -> None:
        self.weight, self.bias = layer.weight, layer.bias

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.numel() // x.shape[-1]
        if not 1 < rows <= self.MOST:
            return linear(x, self.weight, self.bias)
        product = (self.weight @ x.reshape(rows, -1).t()).t()
        product = product if self.bias is None else product + self.bias
        return product.reshape(*x.shape[:-1], -1)
