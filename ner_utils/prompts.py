"""What a generative model is asked: the output forms by name."""

from __future__ import annotations

from ner_utils.copy_forms import BioForm, InlineForm
from ner_utils.forms import Form
from ner_utils.json_forms import JsonForm, JsonOccurrenceForm
from ner_utils.schema import Dataset, GenerationModel

FORMS = {"json": JsonForm, "json-occurrence": JsonOccurrenceForm, "inline": InlineForm, "bio": BioForm}


def form(model: GenerationModel, dataset: Dataset) -> Form:
    """The form of a model's answers on a corpus."""
    return FORMS[model.output_format](dataset.types, model.wording)
