"""Small corpora for tests: their configuration, and reading them from texts."""

from ner_utils.config.dataset import Dataset, File, Split
from ner_utils.data.formats import registry

TYPES = {"Chemical": "chemical", "Disease": "disease"}


def dataset(format, **keys):
    """The configuration of a corpus."""
    file = {"file": "x"} | ({"annotations": File(file="y")} if format in ("biocreative", "brat") else {})
    splits = {split: Split(**file) for split in ("train", "dev", "test")}
    about = {"label": "Small", "description": "made for tests", "licence": "CC0 1.0", "language": "en"}
    return Dataset(**{"format": format, "types": TYPES, "splits": splits, **about, **keys})


def read_texts(folder, settings, *texts):
    """Write each text into a file, and read the files as one split."""
    files = [folder / f"file{number}.txt" for number in range(len(texts))]
    for path, text in zip(files, texts, strict=True):
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return list(registry.read(settings, *files))


def surfaces(sentences):
    """Types and texts of all mentions."""
    return [(span.type, " ".join(s.tokens[span.start : span.end])) for s in sentences for span in s.spans]
