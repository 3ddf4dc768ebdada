"""Greedy decoding of prompts that begin alike: what `generate` answers, sooner.

The shared beginning passes through the model once. A row that has ended makes room for the next prompt
at once, and all tokens of a step, those of new prompts too, go through the linear layers as one packed
sequence, so that nothing is computed for padding or for finished rows. (Orca, OSDI 2022, and vLLM, SOSP
2023, schedule like this on GPUs.)
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, DynamicCache, GenerationConfig
from transformers.cache_utils import Cache, DynamicLayer


class Constraint(Protocol):
    """What an answer may be; it is told every token of the answer."""

    def begin(self) -> list[int]:
        """The tokens with which the answer must begin."""

    def choose(self, scores: np.ndarray) -> tuple[list[int], float]:
        """The best permitted token by its scores [vocabulary] with those that must follow it, and the log of
        its probability among the permitted."""


class Answer(NamedTuple):
    """A prompt's index, its new token ids, and the log-probability of each: 0 where there was no choice."""

    index: int
    tokens: list[int]
    log_probabilities: list[float]


def shares_beginnings(config: Any) -> bool:
    """Whether a model remembers by plain attention alone, so that one pass over a beginning serves all
    rows. In linear attention and sliding windows the padding after it would become part of the state."""
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=config).layers)


class Decoder:
    """Writes a model's answers to prompts.

    ``shared`` are the token ids with which every prompt begins, ``pad`` is a token of the vocabulary,
    ``ends`` is the token that ends an answer, or several of which each does, and ``limit`` is the number of
    tokens after which an answer is cut off.
    """

    def __init__(
        self, model: Any, shared: Sequence[int], pad: int, ends: int | Collection[int], limit: int
    ) -> None:
        self.model, self.pad, self.limit = model, pad, limit
        self.ends = frozenset([ends] if isinstance(ends, int) else ends)
        plain = (module for module in model.modules() if type(module) is torch.nn.Linear)
        self._thin = {module: _Thin(module) for module in plain} if model.device.type == "cpu" else {}
        self.shared = list(shared) if shares_beginnings(model.config) and self._packs(shared) else []
        if self.shared:
            self._beginning = self._cache(self.shared)

    @torch.inference_mode()
    def _cache(self, ids: Sequence[int]) -> Cache:
        """Keys and values of a beginning."""
        ids = torch.tensor([ids], device=self.model.device)
        return self.model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values

    @torch.inference_mode()
    def _packs(self, shared: Sequence[int]) -> bool:
        """Whether a packed step computes what the model computes by itself, tried on a few tokens: not where
        attention is capped, biased or the model's own, which `_attend` does not know."""
        if not shared:
            return False
        begin, *pending = list(shared[:8]), list(shared[:2]), list(shared[:1])
        store = Cache(layers=[_Rows(layer, 2) for layer in self._cache(begin).layers])
        rows = [_Row(place, len(begin), ids, []) for place, ids in enumerate(pending)]
        try:
            packed = self._step(rows, 0, store).float()
        except (NotImplementedError, TypeError, ValueError, RuntimeError) as error:
            print(f"{_name(self.model)} cannot be decoded packed, so it takes longer ({error})", flush=True)
            return False
        inputs = [torch.tensor([begin + ids], device=self.model.device) for ids in pending]
        own = torch.cat([self.model(input_ids=ids, logits_to_keep=1).logits[:, -1] for ids in inputs]).float()
        # Rounding moves logits by hundredths of their spread, another attention by about as much as it is.
        agree = bool((packed - own).abs().max() <= 0.2 * own.std())
        if not agree and own.isfinite().all():
            print(f"{_name(self.model)} is decoded otherwise when packed, so it takes longer", flush=True)
        return agree

    def answers(
        self,
        prompts: Sequence[Sequence[int]],
        rows: int,
        constraints: Sequence[Constraint | None] | None = None,
    ) -> Iterator[Answer]:
        """The answers, as they end; with the end token where one came to its end.

        Log-probabilities are those of the model's own logits. Raises `FloatingPointError` where these are
        not finite, `ValueError` where a prompt begins otherwise than all.

        ``rows`` answers are written side by side; prompts of like length should be neighbours, and the
        longest come first, so that memory grows no more.
        """
        constraints = constraints or [None] * len(prompts)
        if any(list(prompt[: len(self.shared)]) != self.shared for prompt in prompts):
            raise ValueError("a prompt does not begin with the tokens that all prompts share")
        if self.shared:
            yield from self._packed(prompts, rows, constraints)
            return
        for start in range(0, len(prompts), rows):
            chosen = slice(start, start + rows)
            written = self._generate(prompts[chosen], constraints[chosen])
            yield from (Answer(index, *answer) for index, answer in enumerate(written, start))

    # -------------------------------------------------------------------- by the library
    @torch.inference_mode()
    def _generate(self, prompts: Sequence[Sequence[int]], constraints: Sequence[Constraint | None]):
        width = max(map(len, prompts))
        ids = torch.tensor([[self.pad] * (width - len(prompt)) + list(prompt) for prompt in prompts])
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        settings = GenerationConfig(
            do_sample=False, max_new_tokens=self.limit, pad_token_id=self.pad, eos_token_id=sorted(self.ends)
        )
        recorder = _Recorder(self.model, constraints, width, self.ends)
        with self._without_defaults():
            output = self.model.generate(
                input_ids=ids.to(self.model.device),
                attention_mask=mask.to(self.model.device),
                generation_config=settings,
                logits_processor=[recorder],
            )
        for answer, taken in zip(output[:, width:].tolist(), recorder.taken, strict=True):
            length = next((at for at, token in enumerate(answer, 1) if token in self.ends), len(answer))
            yield answer[:length], taken[:length]

    @contextmanager
    def _without_defaults(self):
        """The model without its own settings of generation: the library would add its penalty of repetitions
        and the like to ours, and the logits would no longer be the model's."""
        own, self.model.generation_config = self.model.generation_config, GenerationConfig()
        try:
            yield
        finally:
            self.model.generation_config = own

    # ---------------------------------------------------------------------------- packed
    @torch.inference_mode()
    def _packed(self, prompts: Sequence[Sequence[int]], most: int, constraints: Sequence[Constraint | None]):
        most = min(most, len(prompts))
        waiting = list(range(len(prompts)))[::-1]
        rows: list[_Row] = []
        store = Cache(layers=[_Rows(layer, most) for layer in self._beginning.layers])
        while rows or waiting:
            old = len(rows)
            while waiting and len(rows) < most:
                index = waiting.pop()
                answer = constraints[index].begin() if constraints[index] else []
                rest = [*prompts[index][len(self.shared) :], *answer]
                rows.append(_Row(index, len(self.shared), rest, answer))
            scores = self._step(rows, old, store)
            best = _best(scores, self.model)
            for place, row in enumerate(rows):
                limits = constraints[row.index]
                row.used += len(row.pending)
                row.write(*(limits.choose(_on_cpu(scores[place])) if limits else best[place]))
            for place in reversed(range(len(rows))):
                row = rows[place]
                if row.answer[-1] in self.ends or len(row.answer) >= self.limit:
                    yield Answer(row.index, row.answer, row.taken)
                    last = rows.pop()  # rows stay together: the last one moves to where one has ended
                    if last is not row:
                        rows[place] = last
                        for layer in store.layers:
                            layer.move(len(rows), place)

    def _step(self, rows: Sequence[_Row], old: int, store: Cache) -> torch.Tensor:
        """One pass over all pending tokens, of rows that wrote before (the first ``old``) and of new ones;
        returns scores [rows, vocabulary] after each row's last token."""
        device = self.model.device
        counts = torch.tensor([len(row.pending) for row in rows])
        begins = torch.tensor([row.used for row in rows])
        ids = torch.tensor([token for row in rows for token in row.pending])
        owner = torch.repeat_interleave(torch.arange(len(rows)), counts)
        offset = torch.arange(len(ids)) - torch.repeat_interleave(counts.cumsum(0) - counts, counts)
        places = begins[owner] + offset
        groups = [
            _group(slice(first, last), owner, offset, places, int(counts[first:last].max()), self.model)
            for first, last in ((0, old), (old, len(rows)))
            if first < last
        ]
        for layer in store.layers:
            layer.expect(owner.to(device), places.to(device), int(places.max()) + 1)
        with self._taken_over():
            return self.model(
                input_ids=ids[None].to(device),
                position_ids=places[None].to(device),
                past_key_values=store,
                use_cache=True,
                groups=groups,
                logits_to_keep=(counts.cumsum(0) - 1).to(device),
            ).logits[0]

    @contextmanager
    def _taken_over(self):
        """The model with packed attention and thin layers, for the time of one step."""
        config, usual = self.model.config, self.model.config._attn_implementation
        config._attn_implementation = "packed"
        for module, thin in self._thin.items():
            module.forward = thin
        try:
            yield
        finally:
            config._attn_implementation = usual
            for module in self._thin:
                del module.forward


class _Row:
    """An answer being written: which prompt's, its tokens in the store, those to come, itself, and the
    log-probabilities of its tokens."""

    def __init__(self, index: int, used: int, pending: list[int], answer: list[int]) -> None:
        self.index, self.used, self.pending, self.answer = index, used, pending, list(answer)
        self.taken = [0.0] * len(answer)

    def write(self, tokens: list[int], log_probability: float) -> None:
        """A token that was chosen, and those that had to follow."""
        self.pending = tokens
        self.answer += tokens
        self.taken += _with_zeros(log_probability, tokens)


class _Group(NamedTuple):
    """Neighbouring rows whose attention is computed together."""

    rows: slice
    tokens: torch.Tensor  # [tokens] of these rows in the packed sequence
    owner: torch.Tensor  # [tokens] row within the group
    offset: torch.Tensor  # [tokens] place among the row's queries
    mask: torch.Tensor  # [rows, 1, queries, width], 0 where a query sees a key, -inf elsewhere


def _group(rows: slice, owner, offset, places, queries: int, model: Any) -> _Group:
    tokens = ((owner >= rows.start) & (owner < rows.stop)).nonzero()[:, 0]
    owner, offset = owner[tokens] - rows.start, offset[tokens]
    # A query that is no token sees the first key, for a row of -inf alone would be NaN.
    place = torch.zeros(rows.stop - rows.start, queries, dtype=torch.long)
    place[owner, offset] = places[tokens]
    unseen = torch.arange(int(place.max()) + 1) > place[:, None, :, None]
    mask = torch.zeros(unseen.shape, dtype=model.dtype).masked_fill_(unseen, float("-inf"))
    return _Group(rows, *(each.to(model.device) for each in (tokens, owner, offset, mask)))


def _attend(module, query, key, value, attention_mask, groups, scaling=None, **rest):
    """Attention of a packed sequence: query [1, heads, tokens, size]; key and value are the store's
    [rows, key heads, room, size]. Heads that share keys are folded into the queries, so that nothing is
    repeated."""
    unknown = [name for name in ("softcap", "sliding_window", "position_bias", "s_aux") if rest.get(name)]
    if unknown:
        raise NotImplementedError(f"packed decoding does not know this model's {', '.join(unknown)}")
    heads, size = query.shape[1], query.shape[3]
    shared = heads // key.shape[1]
    output = query.new_empty(query.shape[2], heads, size)
    for rows, tokens, owner, offset, mask in groups:
        number, _, queries, width = mask.shape
        padded = query.new_zeros(number, queries, heads, size)
        padded[owner, offset] = query[0, :, tokens].transpose(0, 1)
        padded = padded.view(number, queries, -1, shared, size).permute(0, 2, 3, 1, 4)
        found = scaled_dot_product_attention(
            padded.reshape(number, -1, shared * queries, size),
            key[rows, :, :width],
            value[rows, :, :width],
            attn_mask=mask.repeat(1, 1, shared, 1),
            scale=scaling,
        )
        found = found.view(number, -1, shared, queries, size).permute(0, 3, 1, 2, 4)
        output[tokens] = found.reshape(number, queries, heads, size)[owner, offset]
    return output[None], None


AttentionInterface.register("packed", _attend)


def _best(scores: torch.Tensor, model: Any) -> list[tuple[list[int], float]]:
    """The best token of each row of a model's scores [rows, vocabulary], and its log-probability."""
    scores = scores.float()
    most, token = scores.max(-1)
    taken = (most - scores.logsumexp(-1)).tolist()
    if not all(map(math.isfinite, taken)):
        raise FloatingPointError(f"{_name(model)} computes no finite numbers in {model.dtype}")
    return [([best], value) for best, value in zip(token.tolist(), taken, strict=True)]


def _name(model: Any) -> str:
    return model.config.name_or_path or type(model).__name__


def _with_zeros(log_probability: float, tokens: Sequence[int]) -> list[float]:
    return [log_probability, *[0.0] * (len(tokens) - 1)]


def _on_cpu(scores: torch.Tensor) -> np.ndarray:
    return scores.float().cpu().numpy()


class _Rows(DynamicLayer):
    """Keys and values [rows, heads, room, size], each row beginning with the shared ones; a token's place
    in its row is its position."""

    def __init__(self, beginning: DynamicLayer, rows: int) -> None:
        super().__init__()
        self.lazy_initialization(beginning.keys, beginning.values)
        self.keys, self.values = (
            states.expand(rows, -1, -1, -1).clone() for states in (beginning.keys, beginning.values)
        )

    def expect(self, owner: torch.Tensor, places: torch.Tensor, width: int) -> None:
        """Which tokens come next, and the room that they need."""
        self._owner, self._places = owner, places
        if width > self.keys.shape[2]:
            room = width + width // 4
            self.keys, self.values = (_widen(states, room) for states in (self.keys, self.values))

    def update(self, key_states, value_states, *args, **kwargs) -> tuple[torch.Tensor, torch.Tensor]:
        for states, new in ((self.keys, key_states), (self.values, value_states)):
            states[self._owner, :, self._places] = new[0].transpose(0, 1)
        return self.keys, self.values

    def move(self, source: int, target: int) -> None:
        for states in (self.keys, self.values):
            states[target] = states[source]


def _widen(states: torch.Tensor, room: int) -> torch.Tensor:
    wider = states.new_zeros(*states.shape[:2], room, states.shape[3])
    wider[:, :, : states.shape[2]] = states
    return wider


class _Thin:
    """A linear layer on a CPU: for some dozen rows the product with the weights on the left is up to
    three times as fast there."""

    MOST = 256

    def __init__(self, layer: torch.nn.Linear) -> None:
        self.weight, self.bias = layer.weight, layer.bias

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.numel() // x.shape[-1]
        if not 1 < rows <= self.MOST:
            return torch.nn.functional.linear(x, self.weight, self.bias)
        found = (self.weight @ x.reshape(rows, -1).t()).t()
        found = found if self.bias is None else found + self.bias
        return found.reshape(*x.shape[:-1], -1)


class _Recorder:
    """Log-probabilities of what the library's loop takes, and constraints: where a token must follow, all
    others are masked."""

    def __init__(
        self, model: Any, constraints: Iterable[Constraint | None], width: int, ends: frozenset[int]
    ) -> None:
        self.model, self.constraints, self.width, self.ends = model, list(constraints), width, ends
        self.due = [limits.begin() if limits else [] for limits in self.constraints]
        self.taken = [[0.0] * len(due) for due in self.due]

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        best = _best(scores, self.model)
        for row, limits in enumerate(self.constraints):
            if limits is None:
                self.taken[row].append(best[row][1])
            elif self.ends.isdisjoint(ids[row, self.width :].tolist()):
                if not self.due[row]:
                    self.due[row], chosen = limits.choose(_on_cpu(scores[row]))
                    self.taken[row] += _with_zeros(chosen, self.due[row])
                token = self.due[row].pop(0)
                scores[row] = float("-inf")
                scores[row, token] = 0
        return scores
