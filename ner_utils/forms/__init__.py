"""What does a generator write, and how is it read? One file for each output form."""

from ner_utils.forms.base import check
from ner_utils.forms.registry import FORMS, form
