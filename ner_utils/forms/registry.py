"""The output forms by the name that a model's configuration gives them (`schema.Writer`).

A new form is one file with a class, one line in `FORMS`, and its name in the schema.
"""

from __future__ import annotations

from collections.abc import Collection

from ner_utils.config.dataset import Dataset
from ner_utils.config.schema import Writer
from ner_utils.forms.base import Form
from ner_utils.forms.bio_lines import BioForm
from ner_utils.forms.inline import InlineForm
from ner_utils.forms.json_list import JsonForm, JsonOccurrenceForm

FORMS = {"json": JsonForm, "json-occurrence": JsonOccurrenceForm, "inline": InlineForm, "bio": BioForm}


def form(model: Writer, dataset: Dataset, without: Collection[str] = ()) -> Form:
    """The form of a model's answers on a corpus, without some of the corpus' types."""
    names = {
        kind: model.type_names.get(kind, name) for kind, name in dataset.types.items() if kind not in without
    }
    definitions = dataset.definitions if model.definitions else None
    return FORMS[model.output_format](names, model.wording, definitions)
