"""The keys of a corpus, with types, defaults and checks, and the tags that its files may hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ner_utils.config.schema import HubSource, Inside, Name, Positive, Sha256, Words
from ner_utils.config.strict_yaml import Strict

# ------------------------------------------------------------------------------ tags
# Prefixes of the tags of a scheme. IOB1 writes B- only where a mention of the same type ends just before
# (Ramshaw and Marcus 1995, aclanthology.org/W95-0107); BIOES marks last tokens and single ones, too, and
# BILOU (Ratinov and Roth 2009, aclanthology.org/W09-1119) and BMES are BIOES by other letters. IO writes the
# type alone, so that two mentions of one type side by side are one.
SCHEMES = {"iob2": "BI", "iob1": "BI", "bioes": "BIES", "bilou": "BILU", "bmes": "BMES", "io": "I"}
PLAIN = ("iob2", "iob1", "bioes")  # those that the functions here tell apart
_IN_BIOES = {"L": "E", "U": "S", "M": "I"}
UNTYPED = "mention"  # the type of tags that name none


def plain(scheme: str) -> str:
    """The scheme whose letters `plain_tag` gives to tags of this one."""
    return {"io": "iob1"}.get(scheme, scheme if scheme in PLAIN else "bioes")


def plain_tag(tag: str, letters: str = "BIESLUM", untyped: str = UNTYPED) -> str:
    """A tag as a file has it (``L-PER``, or ``B`` without a type) in the form that all functions here read
    (``E-PER``, ``B-mention``). Raises `ValueError` on what is neither O nor one of ``letters`` with a type
    or alone."""
    if tag == "O":
        return tag
    if letters == SCHEMES["io"] and tag.strip() and tag[1:2] != "-" and tag not in letters:  # person-actor
        return f"I-{tag}"
    letter, dash, kind = tag.partition("_" if tag[1:2] == "_" else "-")  # B_PER
    if len(letter) != 1 or letter not in letters or (dash and not kind.strip()):
        raise ValueError(f"expected O, or one of {', '.join(letters)} with a dash and a type")
    return f"{_IN_BIOES.get(letter, letter)}-{kind or untyped}"


def plain_tags(types: Sequence[str], scheme: str) -> dict[str, str]:
    """The tags that files of a corpus may hold, each with its `plain_tag`; a tag needs no type where there is
    one type alone."""
    tags = tag_names(types, scheme) + (list(SCHEMES[scheme]) if len(types) == 1 else [])
    plain = {tag: plain_tag(tag, SCHEMES[scheme], types[0]) for tag in tags}
    plain |= {tag.replace("-", "_", 1): meaning for tag, meaning in plain.items()}  # B_PER
    return ({kind: f"I-{kind}" for kind in types} if scheme == "io" else {}) | plain


def tag_names(types: Iterable[str], scheme: str = "iob2") -> list[str]:
    """All tags of a scheme: O, then those of each type."""
    return ["O", *(f"{prefix}-{kind}" for kind in types for prefix in SCHEMES[scheme])]


# ------------------------------------------------------------------------------ keys
Share = Annotated[float, Field(gt=0, lt=1)]


class File(Strict):
    """A file of a corpus, with its checksum if that is known."""

    file: Inside
    sha256: Sha256 | None = None
    url: str | None = None


class Split(File):
    """One split of a corpus. Known numbers protect against truncated and doubled copies."""

    sentences: Positive | None = None
    documents: Positive | None = None
    annotations: File | None = None  # where they have a file of their own

    @property
    def files(self) -> list[File]:
        """The split's file, and that of its annotations if they have one."""
        return [file for file in (self, self.annotations) if file]


class Drawn(Strict):
    """Splits that are drawn from train, because the corpus has none: the shares of its sentences."""

    seed: Positive
    dev: Share | None = None
    test: Share | None = None

    @model_validator(mode="after")
    def _something_is_left(self) -> Drawn:
        if not 0 < sum(self.shares.values()) < 1:
            raise ValueError("expected a share for dev, test or both, and less than 1 together")
        return self

    @property
    def shares(self) -> dict[str, float]:
        """The share of each split that is drawn."""
        return {name: share for name, share in (("test", self.test), ("dev", self.dev)) if share}


_ROWS = ("tokens", "ner_tags", "id", "document")  # the fields of jsonl and parquet
FIELDS = {"csv": ("sentence", "token", "tag", "document"), "offsets": ("text", "id", "entities")}
# The formats, each with the keys that not all of them have.
FORMATS = {
    "conll": ("columns", "separator", "header", "scheme", "domain", "languages"),
    "jsonl": ("fields", "tags", "scheme", "domain", "languages"),
    "parquet": ("fields", "tags", "scheme", "domain", "languages"),
    "csv": ("fields", "scheme", "languages"),
    "offsets": ("fields", "overlaps", "sentences", "languages"),
    "pubtator": ("overlaps", "sentences", "languages"),
    "biocreative": ("overlaps", "sentences"),
    "brat": ("overlaps", "sentences", "languages"),
    "bioc": ("overlaps", "sentences", "languages"),
}


ANNOTATED = ("biocreative", "brat")  # with annotations in files of their own
PATTERNS = ("parquet", "brat", "bioc")  # with several files in a split


class Dataset(Strict):
    """A corpus. ``types`` maps each tag's type to the words that prompts use for it."""

    label: str
    description: str
    licence: str
    language: str
    format: Literal[*FORMATS]
    # Of conll; others may stand between and around these two. Those that begin with "tag:" have the tags of
    # other levels of annotation, whose mentions are counted and not read.
    columns: list[str] = ["token", "tag"]
    # Names of a file's fields, where they are not these: {tokens: words}.
    fields: dict[str, Words] = {}
    separator: Literal["tab", "space", "comma"] = "tab"
    header: bool = False  # whether the first line names the columns
    scheme: Literal[*SCHEMES] = "iob2"  # of tags
    tags: list[str] = []  # names of integer tags, beginning with that of 0
    overlaps: Literal["refuse", "longest"] = "refuse"  # of mentions with offsets
    sentences: Literal["split", "whole"] = "split"  # texts with offsets into sentences, or each is one
    flaws: Literal["refuse", "drop"] = "refuse"  # mentions and lines that contradict themselves
    domain: str | None = None  # the column or field with the source of a sentence
    types: Annotated[dict[Words, Words], Field(min_length=1)]
    definitions: dict[str, Words] = {}  # what the types mean, for prompts with definitions
    splits: dict[Literal["train", "dev", "test"], Split]
    drawn: Drawn | None = None  # splits that have no files
    hub: HubSource | None = None
    languages: list[Name] = []  # other languages, as <name>.<language>, with {language} in file names
    private: bool = False  # whether its text must not be shown
    quotable: bool = False  # whether its licence allows to print some sentences in a thesis

    def field(self, name: str) -> str:
        """The name of a field in the corpus' files."""
        return self.fields.get(name, name)

    @property
    def identity(self) -> dict[str, Any]:
        """All that decides which sentences and mentions are read, as JSON holds it."""
        # Keys with default values are left out, so that a new key with a default keeps old fingerprints.
        decisive = {"format", "types", "splits", "hub", "columns", "separator", "scheme", "tags"}
        decisive |= {"overlaps", "flaws", "fields", "sentences", "drawn", "header"}
        values = self.model_dump(mode="json", include=decisive, exclude_defaults=True)
        for split in values["splits"].values():
            for file in (split, split.get("annotations", {})):
                file.pop("url", None)  # the address of a file does not matter, its checksum does
        # A list, because the order of types affects tags and prompts.
        return values | {"types": [list(pair) for pair in values["types"].items()]}

    @property
    def tags_of_models(self) -> list[str]:
        """Tags in the order of a model's labels: O, then B and I of each type."""
        return tag_names(self.types)

    @property
    def declared(self) -> set[str]:
        """The fields that the corpus' files must have, because it names them."""
        return {*self.fields.values(), *filter(None, [self.domain])}

    @model_validator(mode="after")
    def _whole(self) -> Dataset:
        for key in sorted(set().union(*FORMATS.values()) - set(FORMATS[self.format])):
            if getattr(self, key) != Dataset.model_fields[key].default:
                raise ValueError(f"{key}: format {self.format} has no such key")
        if unknown := sorted(set(self.fields) - set(known := FIELDS.get(self.format, _ROWS))):
            raise ValueError(f"fields: {unknown[0]}: format {self.format} has {', '.join(known)}")
        if self.columns.count("token") != 1 or self.columns.count("tag") != 1:
            raise ValueError("columns: expected token and tag among them, each once")
        known = plain_tags(list(self.types), self.scheme)
        if unknown := [name for name in self.tags if name not in known]:
            raise ValueError(f"tags: {unknown[0]!r} is no tag of these types in scheme {self.scheme}")
        if len(set(self.tags)) < len(self.tags):
            raise ValueError("tags: a name occurs twice")
        if self.domain and self.format == "conll" and self.domain not in self.columns:
            raise ValueError(f"domain: expected one of the columns {', '.join(self.columns)}")
        for name, split in self.splits.items():
            if (split.annotations is None) == (self.format in ANNOTATED):
                formats = " or ".join(ANNOTATED)
                raise ValueError(f"splits.{name}.annotations: expected with format {formats} only")
            for file in split.files:
                if "*" in file.file and (file.sha256 or self.format not in PATTERNS):
                    formats = ", ".join(PATTERNS)
                    raise ValueError(f"splits.{name}: * is for format {formats}, without sha256")
                if self.languages and "{language}" not in file.file:
                    raise ValueError(f"splits.{name}: with languages, expected {{language}} in {file.file}")
        if self.private and self.quotable:
            raise ValueError("quotable: a private corpus is never quoted")
        drawn = set(self.drawn.shares) if self.drawn else set()
        if missing := {"train", "dev", "test"} - set(self.splits) - drawn:
            raise ValueError(f"splits lacks {', '.join(sorted(missing))}: name files, or declare `drawn`")
        if twice := drawn & set(self.splits):
            raise ValueError(f"drawn: {', '.join(sorted(twice))} has files under splits")
        if len({name.lower() for name in self.types.values()}) < len(self.types):
            raise ValueError("types: two types share one name in prompts")
        if unknown := set(self.definitions) - set(self.types):
            raise ValueError(f"definitions: {', '.join(sorted(unknown))}: no type of this corpus")
        return self
