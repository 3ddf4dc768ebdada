"""Before a study starts: is everything there that it will need hours from now?

``python -m ner_utils.preflight STUDY [OVERRIDES]`` reads configurations, corpora and weights of the
runs that are still to be made, and fetches what is missing. One clear message, or silence; a line of warning
where this machine's memory may not do.
"""

from __future__ import annotations

import os
import sys

from ner_utils import config, data, provenance, weights


def check(study: str, overrides: str = "") -> None:
    """Raise `ConfigError`, `DataError` or `WeightsError` for whatever a run would stumble over."""
    pending = [run for run in config.with_those_beside(study, overrides) if not provenance.is_done(run)]
    for name, dataset in {run.dataset_name: run.dataset for run in pending}.items():
        data.load(name, dataset)
    pending = [run for run in pending if not run.members]  # an ensemble has no weights of its own
    if pending and os.environ.get("PROFILE", "local") == "local":  # jobs elsewhere ask for what they need
        from ner_utils import fit  # late: what it traces with takes seconds to import

        for line in fit.warnings(pending):
            print(f"warning: {line}", flush=True)
    for model in {run.model.weights: run.model for run in pending}.values():  # in the study's order
        weights.check_architecture(weights.resolve(model.weights), model)


if __name__ == "__main__":
    try:
        check(*sys.argv[1:])
    except (config.ConfigError, data.DataError, weights.WeightsError) as error:
        sys.exit(f"error: {error}")
