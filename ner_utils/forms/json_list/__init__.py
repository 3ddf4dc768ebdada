"""How is an answer written and read as a JSON list of entities?"""

from ner_utils.forms.json_list.form import JsonForm, JsonOccurrenceForm
