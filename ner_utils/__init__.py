"""Study kit for named entity recognition: fine-tuned encoders against generative LLMs.

Import the room you need (``from ner_utils import data``); importing the package itself loads
nothing, so that a light task never waits for torch.
"""

import logging
import os
import warnings

__version__ = "0.1.0"

# Before torch is loaded: threads that wait for each other sleep. They spin otherwise, and where another
# process takes a core they spin while the one that they wait for has none.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Said at every import, and of no consequence here: bars are text, and CPU kernels are not fetched.
warnings.filterwarnings("ignore", message="IProgress not found")
warnings.filterwarnings("ignore", message=".*gradient_checkpointing` is deprecated", category=FutureWarning)
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
