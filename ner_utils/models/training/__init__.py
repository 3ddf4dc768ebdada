"""How are taggers, GLiNERs and generators trained alike?"""

from ner_utils.models.training.batches import GroupedByLength
from ner_utils.models.training.trainer import Diverged, arguments, run_trainer
