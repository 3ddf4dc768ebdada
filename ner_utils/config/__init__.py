"""What is to be run? Models, corpora and studies from their YAML files, checked.

A new key is declared in one place: `schema` for models, `dataset` for corpora, `study` for studies. The rest
follows from there (params/README.md must name it, and some code must read it: tests check both).
"""

from ner_utils.config.load import load_dataset, load_model, load_study, names, pretrained_models
from ner_utils.config.resolve import configurations, load_run, runs_of, with_companions
from ner_utils.config.strict_yaml import ConfigError
