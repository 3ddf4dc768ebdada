"""Which tokens steer a model, and how do they stay text where a sentence holds them?

A tokenizer turns the text of such a token into the token itself: a `[SEP]` that stands in a sentence would
end it, an `<|im_end|>` the turn in which it is quoted.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

_SHAPE = re.compile(r"<[|｜].*[|｜]>")  # of tokens that no list names, such as Qwen's <|fim_prefix|>


@lru_cache(maxsize=8)
def control_tokens(tokenizer: Any) -> tuple[str, ...]:
    """The texts of a tokenizer's control tokens, longest first.

    They are its special tokens, and those of its added tokens that its chat template writes (Qwen's
    ``<think>``) or that look like ``<|...|>``. Other added tokens are words or white space.
    """
    template = str(tokenizer.chat_template or "")
    added = tokenizer.added_tokens_decoder.values()
    found = {token.content for token in added if token.special or _steers(token.content, template)}
    # A single character cannot be broken up.
    found = {token for token in found.union(tokenizer.all_special_tokens) if len(token) > 1}
    return tuple(sorted(found, key=lambda token: (-len(token), token)))


def _steers(token: str, template: str) -> bool:
    return bool(_SHAPE.fullmatch(token)) or (not token.isspace() and token in template)


def as_text(text: str, control: tuple[str, ...]) -> str:
    """Text in which no token of ``control`` is left: a blank follows the first character of each. Words are
    compared without white space, so that mentions are found nevertheless."""
    pattern = _pattern(control)
    while pattern.search(text):  # tokens may overlap
        text = pattern.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)
    return text


@lru_cache(maxsize=8)
def _pattern(control: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, control)) or r"(?!)")  # the latter matches nothing
