"""Makes text fit for messages: it cannot control a terminal, and it is a few lines long at most."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

WIDTH = 400  # characters of a line, at most
LINES = 8


def acts(char: str) -> bool:
    """Whether a character has an effect instead of being seen: control and format characters, lone
    surrogates, line and paragraph separators. Joiners are excepted, because emoji and Persian need them."""
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") and char not in "\u200c\u200d"


def visible(text: str, keep: str = "\n\t") -> str:
    """Text in which characters that act, except those to ``keep``, are shown as code points: ``⟨U+001B⟩``."""
    return "".join(f"⟨U+{ord(char):04X}⟩" if acts(char) and char not in keep else char for char in text)


def shortened(text: str, width: int = WIDTH) -> str:
    """Text of at most ``width`` characters: longer text is reduced to its beginning and its end."""
    if len(text) <= width:
        return text
    left = (width - 3) // 2
    return f"{text[:left]} … {text[-left:]}"


def one_line(text: str, width: int = 200) -> str:
    """Text in a line of at most ``width`` characters of it, line ends shown as code points."""
    return visible(shortened(text, width), keep="")


def first_line(error: Exception) -> str:
    """The first line of an error's message, which may be empty."""
    return (str(error).splitlines() or [""])[0]


def brief(value: Any, width: int = 80) -> str:
    """A value as Python writes it, shortened and without characters that act."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number with too many digits; a value that contains itself
        text = f"a value of type {type(value).__name__}"
    return shortened(visible(shortened(text, width)), width)


@contextmanager
def errors_as_lines(*kinds: type[Exception]) -> Iterator[None]:
    """End the process with a message instead of a traceback where the block raises one of these errors."""
    try:
        yield
    except kinds as error:
        sys.exit(visible(f"error: {error}"))


def few_lines(text: str) -> str:
    """A message of at most `LINES` lines of at most `WIDTH` characters."""
    lines = text.split("\n")
    more = [f"… and {len(lines) - LINES} more lines"] if len(lines) > LINES else []
    # Shortened first, because a line may quote a whole file.
    return "\n".join([*(visible(shortened(line)) for line in lines[:LINES]), *more])
