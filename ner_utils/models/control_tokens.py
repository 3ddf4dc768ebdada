"""Which tokens control a model, and how do they stay text if they occur in a sentence?

A tokenizer turns the text of such a token into the token itself: `[SEP]` would end the sentence that contains
it, `<|im_end|>` the turn.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

_SHAPE = re.compile(r"<[|｜].*[|｜]>")  # of tokens that no list names, such as Qwen's <|fim_prefix|>
# Control tokens of most models, where the tokenizer is not known.
_USUAL = re.compile(
    r"<[|｜][^<>]*[|｜]>|</?s>|\[/?INST\]|</?(?:bos|eos|pad|unk|think|(?:start|end)_of_turn)>", re.IGNORECASE
)


@lru_cache(maxsize=8)
def control_tokens(tokenizer: Any) -> tuple[str, ...]:
    """The texts of a tokenizer's control tokens, longest first.

    These are its special tokens, and those added tokens that its chat template writes (Qwen's ``<think>``) or
    that look like ``<|...|>``. Other added tokens are words or white space.
    """
    template = str(tokenizer.chat_template or "")
    added = tokenizer.added_tokens_decoder.values()
    tokens = set(tokenizer.all_special_tokens)
    for token in added:
        text = token.content
        if token.special or _SHAPE.fullmatch(text) or (not text.isspace() and text in template):
            tokens.add(text)
    # A single character cannot be broken up.
    return tuple(
        sorted((token for token in tokens if len(token) > 1), key=lambda token: (-len(token), token))
    )


def as_text(text: str, control: tuple[str, ...] | None = None) -> str:
    """The text without any token of ``control``, or without the usual ones: a blank is put after the first
    character of each. Mentions are compared without white space, so this does not affect them."""
    pattern = _USUAL if control is None else _pattern(control)
    while pattern.search(text):  # tokens may overlap
        text = pattern.sub(lambda match: f"{match[0][0]} {match[0][1:]}", text)
    return text


@lru_cache(maxsize=8)
def _pattern(control: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, control)) or r"(?!)")  # the latter matches nothing
