"""Study kit for named entity recognition: fine-tuned encoders against generative LLMs.

Import the folder you need (``from ner_utils import data``). Importing the package itself loads nothing, so
that a light task does not wait for torch.
"""

import logging
import os
import warnings

# Set before torch is loaded: threads that wait for each other sleep. Otherwise they spin, and keep cores busy
# that the thread they wait for needs.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# These warnings come at every import and do not matter here.
warnings.filterwarnings("ignore", message="IProgress not found")
warnings.filterwarnings("ignore", message=".*gradient_checkpointing` is deprecated", category=FutureWarning)
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
