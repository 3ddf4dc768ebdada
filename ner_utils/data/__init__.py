"""What is in the corpus? Sentences, spans, predictions and perturbed text."""

from ner_utils.data.corpus import (
    IGNORED,
    SPLITS,
    digests,
    files,
    load,
    load_split,
    locate,
    tag_names,
    to_datasets,
)
from ner_utils.data.lines import DataError
from ner_utils.data.readers import Sentence
from ner_utils.data.selection import (
    dev_sample,
    dev_sentences,
    draw,
    test_sentences,
    training_sentences,
    without_held_out,
)
