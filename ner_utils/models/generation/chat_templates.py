"""How does a model's chat template write a conversation?

Some templates write system turns, some raise an error, some leave them out. Each ends a turn in its own way,
which may not be the tokenizer's end token.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from jinja2 import TemplateError

from ner_utils.messages import one_line
from ner_utils.models.control_tokens import control_tokens


class ChatTemplate:
    """The template of a tokenizer, false if it has none; ``name`` is the model's name in error messages.

    ``end`` is the token that ends a turn and ``closing`` is the text before it, usually empty. If a template
    writes no control token, the tokenizer's end token follows its text. Raises `ValueError` if the template
    renders no answers, or there is no end token.
    """

    def __init__(self, tokenizer: Any, name: str) -> None:
        self.tokenizer, self.name = tokenizer, name
        self.closing, self.end = self._end_of_turn() if self else ("", tokenizer.eos_token_id)
        if self.end is None:
            raise ValueError(f"{name}: neither tokenizer nor chat template has an end token")

    def __bool__(self) -> bool:
        return bool(self.tokenizer.chat_template)

    def render(self, messages: Sequence[dict[str, str]], open_turn: bool = True) -> str:
        """A conversation as text; with ``open_turn``, the model's turn is begun. Raises `ValueError` if the
        template refuses the conversation."""
        try:
            return self.tokenizer.apply_chat_template(
                messages,
                tokenize=False,
                add_generation_prompt=open_turn,
                # Qwen's templates differ in their default for thinking; others ignore this.
                enable_thinking=False,
            )
        except (TemplateError, TypeError) as error:
            reason = one_line(str(error))
            raise ValueError(f"{self.name}: the chat template refuses a conversation ({reason})") from None

    def takes_system(self, instruction: str) -> bool:
        """Whether the template writes the text of a system turn."""
        turns = [{"role": "system", "content": instruction}, {"role": "user", "content": "Zebra"}]
        try:
            return instruction in self.render(turns)
        except ValueError:
            return False

    def _end_of_turn(self) -> tuple[str, int | None]:
        """The text and the end token that the template writes after an answer."""
        turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "Zebra"}]
        _, answer, rest = self.render(turns, open_turn=False).rpartition("Zebra")
        if not answer:
            raise ValueError(f"{self.name}: the chat template does not render answers")
        places = [(rest.index(token), token) for token in control_tokens(self.tokenizer) if token in rest]
        if not places:
            return rest.strip(), self.tokenizer.eos_token_id
        at, end = min(places, key=lambda place: place[0])  # of several that begin there, the longest
        return rest[:at], self.tokenizer.convert_tokens_to_ids(end)

    def written(self, tokens: Sequence[int], ends: Collection[int]) -> str:
        """The text of an answer's tokens, without the text that the template writes after it."""
        tokens = tokens[:-1] if tokens and tokens[-1] in ends else tokens
        text = self.tokenizer.decode(tokens, skip_special_tokens=True)
        if not self.closing.strip():
            return text.removesuffix(self.closing)
        return text.partition(self.closing.strip())[0]

    def is_whole(self, tokens: Sequence[int], ends: Collection[int]) -> bool:
        """Whether an answer ended before it was cut off."""
        closing = self.closing.strip()
        return tokens[-1] in ends or (bool(closing) and closing in self.tokenizer.decode(tokens))
