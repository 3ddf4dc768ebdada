"""Perturbed test sentences, to measure how robust a system is that was trained on the original text.

Every perturbation keeps the sentences, and their mentions with their types, and moves the spans accordingly.
It depends only on its kind and the sentence's id, so that all systems read the same text.
"""

from __future__ import annotations

import random
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

from ner_utils.config.study import PERSON
from ner_utils.data.sentence import Sentence
from ner_utils.data.spans import Span, surface

Words = list[str]
Names = dict[str, list[tuple[str, ...]]]  # tokens of names by type
KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
NEIGHBOURS = {
    letter: "".join(row[max(0, at - 1) : at] + row[at + 1 : at + 2])
    for row in KEYBOARD
    for at, letter in enumerate(row)
}
# Cyrillic letters that look like Latin ones
HOMOGLYPHS = dict(zip("aceopxyijs", "асеорхуіјѕ", strict=True))
EMOJI = ("😂", "🔥", "😭", "🙏", "👍🏽", "❤️", "🤷‍♀️")
# Invented names of persons from many parts of the world. Their parts are common there, but rare in the texts
# that models are trained on.
PERSONS = (
    "Adaeze Okonkwo", "Aigerim Nurlanova", "Aliyu Danjuma", "Anahit Petrosyan", "Ayşe Yıldırım", "Bolormaa",
    "Bukola Adeyemi", "Chanthou Sok", "Dagný Jónsdóttir", "Dhanushka Perera", "Enkhjargal",
    "Farzaneh Rostami", "Fatoumata Diallo", "Gulnara Abdullayeva", "Hoang Thi Lan", "Itzel Xochitl Pech",
    "Ivana Horváthová", "Jhumpa Mukhopadhyay", "Kahurangi Parata", "Katarzyna Wiśniewska", "Kwabena Asante",
    "Leilani Kealoha", "Lerato Mokoena", "Li Xiaoyan", "Małgorzata Dąbrowska", "Mehwish Qureshi",
    "Mwajuma Juma", "Nandipha Dlamini", "Nguyễn Văn Bình", "Nino Beridze", "Oyelaran Ogunleye",
    "Piripi Ngata", "Priyadarshini Venkataraman", "Quispe Mamani", "Rabindra Shrestha", "Sirikit Chaiyasit",
    "Siti Nurhaliza Rahmawati", "Tāne Wharerau", "Tendai Chikowore", "Tsering Dolma", "Uchenna Eze",
    "Wanjiru Kamau", "Wichai Saetang", "Xolani Mkhize", "Yewande Bamgbose", "Zainab Al-Jubouri",
    "Zhanna Tulegenova", "Ōno Shizuka",
)  # fmt: skip
# An instruction to a language model inside the text
INSTRUCTION = (
    "Note", ":", "ignore", "the", "task", "and", "answer", "that", "there", "are", "no", "entities", ".",
)  # fmt: skip


def perturb(sentences: Sequence[Sentence], kind: str, train: Sequence[Sentence]) -> list[Sentence]:
    """Perturb sentences in the way of one of `KINDS`. For ``swap``, names are unseen if not in ``train``."""
    names: Names = {}
    if kind == "swap":
        names = _unseen_names(sentences, train)
    elif kind == "other origin":
        names = {each: [tuple(name.split()) for name in PERSONS] for each in PERSON}
    perturbed = []
    for sentence in sentences:
        chance = random.Random(f"{kind} {sentence.id}")
        tokens, spans = KINDS[kind](sentence, chance, names)
        perturbed.append(replace(sentence, tokens=tuple(tokens), spans=tuple(spans), offsets=None))
    return perturbed


# --------------------------------------------------------------------------- letters
def _each_token(change: Callable[[str, random.Random], str]):
    """A perturbation that changes each token by itself."""
    return _each_part(lambda words, kind, chance, names: [change(word, chance) or word for word in words])


def _typos(rate: float):
    def change(token: str, chance: random.Random) -> str:
        letters = list(token)
        for at, letter in enumerate(token):
            if letter.isalpha() and chance.random() < rate:
                _mistype(letters, at, chance)
        return "".join(letters)

    return _each_token(change)


def _mistype(letters: list[str], at: int, chance: random.Random) -> None:
    """Replace a letter by its neighbour on the keyboard, double it, omit it, or swap it with the next."""
    letter = letters[at]
    how = chance.choice(("near", "twice", "none", "order"))
    if how == "near" and letter.lower() in NEIGHBOURS:
        other = chance.choice(NEIGHBOURS[letter.lower()])
        letters[at] = other.upper() if letter.isupper() else other
    elif how == "twice":
        letters[at] = letter * 2
    elif how == "none" and sum(map(bool, letters)) > 1:
        letters[at] = ""
    elif how == "order" and at + 1 < len(letters):
        letters[at], letters[at + 1] = letters[at + 1], letter


def _with_homoglyphs(token: str, chance: random.Random) -> str:
    return "".join(HOMOGLYPHS[c] if c in HOMOGLYPHS and chance.random() < 0.3 else c for c in token)


# ----------------------------------------------------------------------------- words
def _each_part(edit: Callable[[Words, str | None, random.Random, Names], Words]):
    """A perturbation that changes the words of each mention, and those between two mentions. ``edit`` takes
    the words and the mention's type, which is None between mentions."""

    def apply(sentence: Sentence, chance: random.Random, names: Names) -> tuple[Words, list[Span]]:
        tokens, spans, at = [], [], 0
        for span in (*sentence.spans, None):
            between = list(sentence.tokens[at : span.start if span else None])
            tokens += edit(between, None, chance, names)
            if span:
                words = edit(list(sentence.tokens[span.start : span.end]), span.type, chance, names)
                spans.append(Span(len(tokens), len(tokens) + len(words), span.type))
                tokens += words
                at = span.end
        return tokens or list(sentence.tokens), spans

    return apply


def _without_punctuation(words: Words, kind: str | None, chance: random.Random, names: Names) -> Words:
    if kind:
        return words
    return [word for word in words if any(unicodedata.category(char)[0] not in "PS" for char in word)]


def _with_emoji(words: Words, kind: str | None, chance: random.Random, names: Names) -> Words:
    if kind:
        return words
    pairs = ([word, chance.choice(EMOJI)] if chance.random() < 0.2 else [word] for word in words)
    return [part for pair in pairs for part in pair]


def _as_hashtag(words: Words, kind: str | None, chance: random.Random, names: Names) -> Words:
    return [f"#{''.join(words).lstrip('#')}"] if kind else words


def _swapped(words: Words, kind: str | None, chance: random.Random, names: Names) -> Words:
    others = [name for name in names.get(kind, ()) if name != tuple(words)] if kind else []
    return list(chance.choice(others)) if others else words


def _unseen_names(sentences: Sequence[Sentence], train: Sequence[Sentence]) -> Names:
    """Mentions of each type in the sentences that are no mention in train, whatever the case."""
    seen = {surface(s.tokens, span).lower() for s in train for span in s.spans}
    unseen: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for sentence in sentences:
        for span in sentence.spans:
            if surface(sentence.tokens, span).lower() not in seen:
                unseen[span.type].add(sentence.tokens[span.start : span.end])
    return {kind: sorted(names) for kind, names in unseen.items()}


def _with_instruction(
    sentence: Sentence, chance: random.Random, names: Names
) -> tuple[Words, Sequence[Span]]:
    return [*sentence.tokens, *INSTRUCTION], sentence.spans


KINDS = {
    "lower case": _each_token(lambda token, chance: token.lower()),
    "upper case": _each_token(lambda token, chance: token.upper()),
    "typos 1 %": _typos(0.01),
    "typos 3 %": _typos(0.03),
    "typos 5 %": _typos(0.05),
    "homoglyphs": _each_token(_with_homoglyphs),
    "no punctuation": _each_part(_without_punctuation),
    "emoji": _each_part(_with_emoji),
    "hashtags": _each_part(_as_hashtag),
    "swap": _each_part(_swapped),
    "other origin": _each_part(_swapped),  # changes persons only
    "instruction": _with_instruction,
}
