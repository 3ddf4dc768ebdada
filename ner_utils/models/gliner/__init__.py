"""How does a model of GLiNER2's classes learn and predict? It scores spans against the names of types."""

from ner_utils.models.gliner.extractor import load_extractor
from ner_utils.models.gliner.predictor import predict_with_gliner
from ner_utils.models.gliner.training import train_gliner
