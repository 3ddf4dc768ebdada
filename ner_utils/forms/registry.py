"""What a generative model is asked: the output forms by name."""

from __future__ import annotations

from collections.abc import Collection

from ner_utils.config.schema import Dataset, GenerationModel
from ner_utils.forms.base import Form
from ner_utils.forms.copied_text import BioForm, InlineForm
from ner_utils.forms.json_list import JsonForm, JsonOccurrenceForm

FORMS = {"json": JsonForm, "json-occurrence": JsonOccurrenceForm, "inline": InlineForm, "bio": BioForm}


def form(model: GenerationModel, dataset: Dataset, without: Collection[str] = ()) -> Form:
    """The form of a model's answers on a corpus, ``without`` some of its types."""
    types = {kind: model.type_names.get(kind, name) for kind, name in dataset.types.items()}
    types = {kind: name for kind, name in types.items() if kind not in without}
    return FORMS[model.output_format](
        types, model.wording, dataset.definitions if model.definitions else None
    )
