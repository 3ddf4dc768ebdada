"""What is to be run? Models, corpora and studies from their YAML files, checked."""

from ner_utils.config.load import load_run, load_study, runs_of, split_overrides, with_companions
from ner_utils.config.sections import ConfigError, read_yaml
from ner_utils.config.strict_yaml import load_dataset, load_model, names
