"""Spans from tags and tags from spans, also against conlleval's rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ner_utils.config.dataset import plain, plain_tag, plain_tags, tag_names
from ner_utils.data.spans import Span, spans_from_tags, surface, tags_from_spans

TYPES = ("PER", "LOC", "creative-work")
TAGS = ("O", *(f"{prefix}-{kind}" for prefix in "BI" for kind in TYPES))
tag_sequences = st.lists(st.sampled_from(TAGS), max_size=12)
SCHEMES = ("iob2", "iob1", "bioes")
BY_OTHER_LETTERS = {"bilou": str.maketrans("ES", "LU"), "bmes": str.maketrans("I", "M")}


@st.composite
def sentences(draw, max_size=12):
    """A length and sorted spans that fit it, adjacent ones included."""
    length = draw(st.integers(0, max_size))
    cuts = sorted(draw(st.sets(st.integers(0, length))))
    spans = [
        Span(start, end, draw(st.sampled_from(TYPES)))
        for start, end in zip(cuts, cuts[1:], strict=False)
        if draw(st.booleans())
    ]
    return length, spans


# ------------------------------------------------------------------------------- BIO
@pytest.mark.parametrize("scheme", SCHEMES)
@given(sentence=sentences())
def test_spans_to_tags_and_back(scheme, sentence):
    length, spans = sentence
    tags = tags_from_spans(spans, length, scheme)
    assert len(tags) == length
    assert set(tags) <= set(tag_names(TYPES, scheme))
    assert spans_from_tags(tags, scheme) == (spans, 0)


@given(tag_sequences)
def test_tags_to_spans_and_back(tags):
    """Well-formed tags come back as they were; a repair happens exactly where they are not."""
    spans, repaired = spans_from_tags(tags)
    again = tags_from_spans(spans, len(tags))
    changed = [(old, new) for old, new in zip(tags, again, strict=True) if old != new]
    assert len(changed) == repaired
    assert all(old == "I" + new[1:] and new[0] == "B" for old, new in changed)


# The rules of conlleval, the CoNLL-2000 shared task's scorer, as its startOfChunk and endOfChunk
# state them, and S as later versions have it.
def ends_chunk(previous, tag, previous_type, kind):
    if previous in "ES" or tag in "BSO":
        return previous != "O"
    return previous != "O" and previous_type != kind


def starts_chunk(previous, tag, previous_type, kind):
    if tag in "BS" or (previous in "ESO" and tag in "EI"):
        return True
    return tag != "O" and previous_type != kind


def conlleval(tags):
    chunks, start = [], None
    previous, previous_type = "O", ""
    for index, text in enumerate([*tags, "O"]):
        tag, _, kind = text.partition("-")
        if start is not None and ends_chunk(previous, tag, previous_type, kind):
            chunks.append(Span(start, index, previous_type))
            start = None
        if starts_chunk(previous, tag, previous_type, kind):
            start = index
        previous, previous_type = tag, kind
    return chunks


@pytest.mark.parametrize("scheme", SCHEMES)
@given(data=st.data())
def test_repair_policy_is_conllevals(scheme, data):
    tags = data.draw(st.lists(st.sampled_from(tag_names(TYPES, scheme)), max_size=12))
    spans, repaired = spans_from_tags(tags, scheme)
    assert spans == conlleval(tags)
    assert (repaired == 0) == (tags_from_spans(spans, len(tags), scheme) == tags)


@pytest.mark.parametrize(
    ("tags", "spans", "repaired"),
    [
        ("", [], 0),
        ("O O", [], 0),
        ("B-PER I-PER O", [(0, 2, "PER")], 0),
        ("B-PER B-PER", [(0, 1, "PER"), (1, 2, "PER")], 0),
        ("B-creative-work I-creative-work", [(0, 2, "creative-work")], 0),
        ("I-PER I-PER", [(0, 2, "PER")], 1),
        ("O I-PER", [(1, 2, "PER")], 1),
        ("B-PER I-LOC I-LOC", [(0, 1, "PER"), (1, 3, "LOC")], 1),
        ("B-PER O I-PER", [(0, 1, "PER"), (2, 3, "PER")], 1),
    ],
)
def test_spans_from_tags(tags, spans, repaired):
    assert spans_from_tags(tags.split()) == (spans, repaired)


@pytest.mark.parametrize(
    ("scheme", "tags", "spans", "repaired"),
    [
        ("iob1", "I-PER I-PER B-PER I-LOC", [(0, 2, "PER"), (2, 3, "PER"), (3, 4, "LOC")], 0),
        ("iob1", "B-PER O B-PER", [(0, 1, "PER"), (2, 3, "PER")], 2),  # IOB2 says so
        ("bioes", "S-PER B-PER I-PER E-PER S-PER", [(0, 1, "PER"), (1, 4, "PER"), (4, 5, "PER")], 0),
        ("bioes", "B-PER O", [(0, 1, "PER")], 1),
        ("bioes", "B-PER I-PER O", [(0, 2, "PER")], 1),
        ("bioes", "S-PER E-PER", [(0, 1, "PER"), (1, 2, "PER")], 1),
        ("bioes", "E-PER I-PER B-LOC I-PER", [(0, 1, "PER"), (1, 2, "PER"), (2, 3, "LOC"), (3, 4, "PER")], 4),
    ],
)
def test_repairs_in_other_schemes(scheme, tags, spans, repaired):
    assert spans_from_tags(tags.split(), scheme) == (spans, repaired)


@pytest.mark.parametrize("scheme", BY_OTHER_LETTERS)
@given(sentence=sentences())
def test_schemes_by_other_letters(scheme, sentence):
    length, spans = sentence
    tags = tags_from_spans(spans, length, "bioes")
    table = plain_tags(TYPES, scheme)
    names = set(tag_names(TYPES, scheme))
    assert set(table) == names | {name.replace("-", "_", 1) for name in names}
    assert all(table[name.replace("-", "_", 1)] == table[name] for name in names)
    written = [tag[0].translate(BY_OTHER_LETTERS[scheme]) + tag[1:] for tag in tags]
    assert [table[tag] for tag in written] == [plain_tag(tag) for tag in written] == tags
    assert plain(scheme) == "bioes"


def test_tags_without_types():
    assert plain_tags(["LOC"], "bilou")["U"] == plain_tags(["LOC"], "bilou")["U-LOC"] == "S-LOC"
    assert "U" not in plain_tags(["LOC", "PER"], "bilou") and "S" not in plain_tags(["LOC"], "bilou")
    assert [plain_tag(tag) for tag in ("B", "O", "L", "B-vitamin B-12")] == [
        "B-mention",
        "O",
        "E-mention",
        "B-vitamin B-12",
    ]


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([Span(0, 4, "PER")], "does not fit"),
        ([Span(-1, 1, "PER")], "does not fit"),
        ([Span(1, 1, "PER")], "does not fit"),
        ([Span(2, 1, "PER")], "does not fit"),
        ([Span(0, 2, "PER"), Span(1, 3, "LOC")], "overlaps"),
        ([Span(0, 1, "PER"), Span(0, 1, "PER")], "overlaps"),
    ],
)
def test_tags_from_spans_refuses(spans, message):
    with pytest.raises(ValueError, match=message):
        tags_from_spans(spans, 3)


def test_surface():
    assert surface(("New", "York", "City"), Span(0, 2, "LOC")) == "New York"
