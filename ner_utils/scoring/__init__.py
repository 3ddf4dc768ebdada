"""How good is a system, and how sure are we?"""

from ner_utils.scoring.scorer import (
    SCHEMES,
    Counts,
    Score,
    by_type,
    count,
    macro,
    micro,
    pair,
    prf,
    rows,
    score,
    tally,
    total,
    weighted,
)
