"""What does a model's chat template make of a conversation?

Templates differ in whether they write system turns: some raise an error at them, some leave them out. And
they end a turn in their own way, which need not be the tokenizer's end token.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from jinja2 import TemplateError

from ner_utils.models.control_tokens import control_tokens

LONGEST = 200  # characters of a template's own error message


class ChatTemplate:
    """The template of a tokenizer, or none where it has none; ``name`` is the model's in error messages.

    ``end`` is the token that ends a turn and ``closing`` the text that stands before it, mostly none. Where a
    template writes no control token, the tokenizer's end token follows what it writes. Raises `ValueError`
    where the template renders no answers, or there is no end token.
    """

    def __init__(self, tokenizer: Any, name: str) -> None:
        self.tokenizer, self.name = tokenizer, name
        self.closing, self.end = self._end_of_turn() if self else ("", tokenizer.eos_token_id)
        if self.end is None:
            raise ValueError(f"{name}: neither tokenizer nor chat template has an end token")

    def __bool__(self) -> bool:
        return bool(self.tokenizer.chat_template)

    def render(self, messages: Sequence[dict[str, str]], open_turn: bool = True) -> str:
        """A conversation as text, and where ``open_turn`` the beginning of the model's turn. Raises
        `ValueError` where the template refuses the conversation."""
        try:
            return self.tokenizer.apply_chat_template(
                messages,
                tokenize=False,
                add_generation_prompt=open_turn,
                # Qwen's templates differ by size in whether they think unless told; others ignore it.
                enable_thinking=False,
            )
        except (TemplateError, TypeError) as error:
            reason = str(error)[:LONGEST]
            raise ValueError(f"{self.name}: the chat template refuses a conversation ({reason})") from None

    def takes_system(self, instruction: str) -> bool:
        """Whether the template writes what a system turn says."""
        turns = [{"role": "system", "content": instruction}, {"role": "user", "content": "Zebra"}]
        try:
            return instruction in self.render(turns)
        except ValueError:
            return False

    def _end_of_turn(self) -> tuple[str, int | None]:
        """What follows an answer, as the template writes it."""
        turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "Zebra"}]
        _, answer, rest = self.render(turns, open_turn=False).rpartition("Zebra")
        if not answer:
            raise ValueError(f"{self.name}: the chat template does not render answers")
        places = [(rest.index(token), token) for token in control_tokens(self.tokenizer) if token in rest]
        if not places:
            return rest.strip(), self.tokenizer.eos_token_id
        at, end = min(places, key=lambda place: place[0])  # the longest of those that begin there
        return rest[:at], self.tokenizer.convert_tokens_to_ids(end)

    def written(self, tokens: Sequence[int], ends: Collection[int]) -> str:
        """The text of an answer's tokens, without what the template writes after it."""
        tokens = tokens[:-1] if tokens and tokens[-1] in ends else tokens
        text = self.tokenizer.decode(tokens, skip_special_tokens=True)
        if not self.closing.strip():
            return text.removesuffix(self.closing)
        return text.partition(self.closing.strip())[0]

    def is_whole(self, tokens: Sequence[int], ends: Collection[int]) -> bool:
        """Whether an answer's tokens came to an end before they were cut off."""
        closing = self.closing.strip()
        return tokens[-1] in ends or (bool(closing) and closing in self.tokenizer.decode(tokens))
