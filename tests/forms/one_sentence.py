"""A sentence with two mentions, the answer that states them, and how an answer about it is read."""

import json

from ner_utils.data.spans import Span
from ner_utils.forms.json_list import JsonForm

TYPES = {"PER": "person", "LOC": "location", "WORK": "creative work"}
FORM = JsonForm(TYPES)
TOKENS = ("Ada", "Lovelace", "met", "O'Brien", "in", "Dublin", ".")
ADA, DUBLIN = Span(0, 2, "PER"), Span(5, 6, "LOC")
ITEMS = [{"text": "Ada Lovelace", "type": "person"}, {"text": "Dublin", "type": "location"}]
LIST = json.dumps(ITEMS)


def read(answer, tokens=TOKENS, form=FORM):
    reading = form.read(answer, tokens)
    return reading.spans, reading.status, {why: number for why, number in reading.dropped.items() if number}
