"""What is in the corpus? Sentences, spans, predictions and perturbed text."""

from ner_utils.data.corpus import IGNORED, SPLITS, at_hand, digests, draw_splits, load, load_split
from ner_utils.data.formats.lines import DataError
from ner_utils.data.selection import (
    dev_sample,
    dev_sentences,
    draw,
    in_parts,
    join_predictions,
    sentences_to_label,
    test_sentences,
    training_sentences,
    without_held_out,
)
from ner_utils.data.sentence import Sentence
