"""A sentence of a corpus: what every format is read into, and what all other code works on."""

from __future__ import annotations

from dataclasses import dataclass

from ner_utils.data.spans import Span, tags_from_spans


@dataclass(frozen=True)
class Sentence:
    """A sentence of a corpus. ``spans`` are sorted and do not overlap."""

    id: str
    document: str | None
    tokens: tuple[str, ...]
    spans: tuple[Span, ...]
    repaired: int = 0  # number of ill-formed tags that `spans_from_tags` repaired
    offsets: tuple[int, ...] | None = None  # where each token begins in the document, in characters
    # A reason of `standoff.CHANGES` for each mention that was changed or dropped, `lines.DROPPED` for each
    # flaw of the file that was skipped.
    treated: tuple[str, ...] = ()
    domain: str | None = None  # the source or topic of the text

    @property
    def text(self) -> str:
        """The tokens, joined by spaces."""
        return " ".join(self.tokens)

    @property
    def ner_tags(self) -> list[str]:
        """BIO tags, one for each token. The name is that of the column in the ``datasets`` library."""
        return tags_from_spans(self.spans, len(self.tokens))
