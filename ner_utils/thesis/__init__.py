"""What goes into the thesis? Numbers, tables, checked claims and texts."""

from ner_utils.thesis.build import write_for_thesis
