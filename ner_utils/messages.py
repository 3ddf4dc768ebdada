"""What a message may hold: text that cannot act on a terminal, and never more than a few lines of it."""

from __future__ import annotations

import unicodedata
from typing import Any

WIDTH = 400  # characters of a line, at most
LINES = 8


def acts(char: str) -> bool:
    """Whether a character does something instead of being seen: control and format characters, lone
    surrogates, line and paragraph separators; not the joiners, which emoji and Persian need."""
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") and char not in "\u200c\u200d"


def visible(text: str, keep: str = "\n\t") -> str:
    """Text with characters that act as their code points, ``⟨U+001B⟩``, but for those to ``keep``."""
    return "".join(f"⟨U+{ord(char):04X}⟩" if acts(char) and char not in keep else char for char in text)


def shortened(text: str, width: int = WIDTH) -> str:
    """Text of at most ``width`` characters: of a longer one, its beginning and its end."""
    if len(text) <= width:
        return text
    left = (width - 3) // 2
    return f"{text[:left]} … {text[-left:]}"


def brief(value: Any, width: int = 80) -> str:
    """A value as Python writes it, in a message: shortened, and without characters that act."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of more digits than Python writes; a value inside itself
        text = f"a value of type {type(value).__name__}"
    return shortened(visible(shortened(text, width)), width)


def few_lines(text: str) -> str:
    """A message of at most `LINES` lines of at most `WIDTH` characters."""
    lines = text.split("\n")
    more = [f"… and {len(lines) - LINES} more lines"] if len(lines) > LINES else []
    # Shortened before it is read character by character: it may quote a whole file.
    return "\n".join([*(visible(shortened(line)) for line in lines[:LINES]), *more])
