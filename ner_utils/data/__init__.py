"""What is in the corpus? Sentences, spans, predictions and disturbed text."""

from ner_utils.data.corpus import (
    IGNORED,
    SPLITS,
    digests,
    draw,
    files,
    load,
    load_split,
    locate,
    tag_names,
    to_datasets,
)
from ner_utils.data.lines import DataError
from ner_utils.data.readers import Sentence
