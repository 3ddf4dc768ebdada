"""Generators: prompts, QLoRA training, decoding."""

from ner_utils.models.generation.generator import (
    Generator,
    Prompter,
    load_base,
    load_for_prediction,
    merge,
    predict_with_generator,
)
