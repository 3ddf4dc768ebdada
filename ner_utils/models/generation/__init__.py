"""How does a generator write and predict?"""

from ner_utils.models.generation.decoding import Decoder
from ner_utils.models.generation.generator import (
    Generator,
    load_for_prediction,
    merge,
    predict_with_generator,
)
from ner_utils.models.generation.prompts import Prompter
