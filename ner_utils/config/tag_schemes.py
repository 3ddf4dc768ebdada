"""The tags that files write, by scheme, and the form in which the package reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

# Prefixes of the tags of a scheme. IOB1 writes B- only where a mention of the same type ends just before
# (Ramshaw and Marcus 1995, aclanthology.org/W95-0107); BIOES marks last tokens and single ones, too, and
# BILOU (Ratinov and Roth 2009, aclanthology.org/W09-1119) and BMES are BIOES by other letters.
SCHEMES = {"iob2": "BI", "iob1": "BI", "bioes": "BIES", "bilou": "BILU", "bmes": "BMES"}
PLAIN = ("iob2", "iob1", "bioes")  # those that the functions here tell apart
_IN_BIOES = {"L": "E", "U": "S", "M": "I"}
UNTYPED = "mention"  # the type of tags that name none


def plain(scheme: str) -> str:
    """The scheme whose letters `plain_tag` gives to tags of this one."""
    return scheme if scheme in PLAIN else "bioes"


def plain_tag(tag: str, letters: str = "BIESLUM", untyped: str = UNTYPED) -> str:
    """A tag as a file has it (``L-PER``, or ``B`` without a type) in the form that all functions here read
    (``E-PER``, ``B-mention``). Raises `ValueError` on what is neither O nor one of ``letters`` with a type
    or alone."""
    if tag == "O":
        return tag
    letter, dash, kind = tag.partition("-")
    if len(letter) != 1 or letter not in letters or (dash and not kind.strip()):
        raise ValueError(f"expected O, or one of {', '.join(letters)} with a dash and a type")
    return f"{_IN_BIOES.get(letter, letter)}-{kind or untyped}"


def plain_tags(types: Sequence[str], scheme: str) -> dict[str, str]:
    """The tags that files of a corpus may hold, each with its `plain_tag`; a tag needs no type where there is
    one type alone."""
    tags = tag_names(types, scheme) + (list(SCHEMES[scheme]) if len(types) == 1 else [])
    return {tag: plain_tag(tag, SCHEMES[scheme], types[0]) for tag in tags}


def tag_names(types: Iterable[str], scheme: str = "iob2") -> list[str]:
    """All tags of a scheme: O, then those of each type."""
    return ["O", *(f"{prefix}-{kind}" for kind in types for prefix in SCHEMES[scheme])]
