"""Study kit for named entity recognition: fine-tuned encoders against generative LLMs.

Import the room you need (``from ner_utils import data``); importing the package itself loads
nothing, so that a light task never waits for torch.
"""

__version__ = "0.1.0"
