"""Fixtures for all tests: corpora, small configurations, and made-up results of studies."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import hypothesis
import pytest

from ner_utils import config, data, paths
from ner_utils.config import dataset, schema, study

# No deadline, because machines are busy. Fixed seeds and few examples; bench/fuzz.py tries many.
hypothesis.settings.register_profile("kit", deadline=None, derandomize=True, max_examples=30)
hypothesis.settings.load_profile("kit")

pytest_plugins = ["tiny_models", "trial_study", "browser"]

# Files that take longest, the longest first; the test on Slurm mostly waits.
LONGEST = (
    "test_slurm",
    "test_build",
    "test_notebooks_of_questions",
    "test_notebooks_of_steps",
    "test_experiment",
)


def pytest_collection_modifyitems(items):
    """The longest files come first, then the other files with slow tests, so that no worker is left with one
    of them at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    order = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (order.get(item.path.stem, len(order)), item.path not in slow))


def pytest_terminal_summary(terminalreporter):
    skipped = terminalreporter.stats.get("skipped", [])
    if reasons := {report.longrepr[2].removeprefix("Skipped: ") for report in skipped}:
        terminalreporter.section("this was NOT tested", yellow=True, bold=True)
        for reason in sorted(reasons):
            terminalreporter.line(reason)


@pytest.fixture(scope="session")
def corpora():
    """``corpora(name)`` loads a real corpus from ``NER_DATA_DIR``, or skips the test and says what to set."""
    loaded = {}

    def load(name):
        if name not in loaded:
            dataset = config.load_dataset(name)
            folder = os.environ.get("NER_DATA_DIR")
            if not folder:
                pytest.skip(f"{name}: set NER_DATA_DIR to a folder that holds {name}/")
            for split in dataset.splits.values():
                path = Path(folder).expanduser() / name / split.file
                if not path.is_file():
                    pytest.skip(f"{name}: {path} is absent; set NER_DATA_DIR to a folder that holds it")
            loaded[name] = data.load(name, dataset)
        return loaded[name]

    return load


@pytest.fixture(scope="session")
def demo():
    """The demo corpus, by split."""
    return data.load("demo", config.load_dataset("demo"))


@pytest.fixture
def no_other_corpora(tmp_path, monkeypatch):
    """The user's corpora, the cache and the network are out of reach."""
    import huggingface_hub
    import pooch

    def refuse(*arguments, **keywords):
        raise ConnectionError("no network\nin this test")

    monkeypatch.delenv("NER_DATA_DIR", raising=False)
    monkeypatch.setenv("NER_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(pooch, "retrieve", refuse)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)


TAGGER, WRITER, SMALL = "models/tagger", "models/writer", "studies/small"  # files of `Params`


class Params:
    """A copy of tests/params to change: models ``tagger`` and ``writer``, corpus and study ``small``."""

    def __init__(self, folder):
        self.folder = shutil.copytree(Path(__file__).parent / "params", folder)

    def path(self, name):
        return self.folder / f"{name}.yaml"

    def read(self, name):
        return self.path(name).read_text(encoding="utf-8")

    def write(self, name, text):
        self.path(name).write_text(text, encoding="utf-8")

    def edit(self, name, old, new):
        """Replace text that occurs exactly once."""
        text = self.read(name)
        assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times"
        self.write(name, text.replace(old, new))


def refused(load, *arguments):
    """The message with which a configuration is refused."""
    with pytest.raises(config.ConfigError) as error:
        load(*arguments)
    return str(error.value)


@pytest.fixture
def sections():
    """All sections of models, corpora and studies."""
    kinds = [
        kind
        for module in (dataset, schema, study)
        for kind in vars(module).values()
        if isinstance(kind, type)
    ]
    return [kind for kind in kinds if issubclass(kind, schema.Strict) and kind is not schema.Strict]


@pytest.fixture
def params(tmp_path, monkeypatch):
    """Valid configurations, to be broken by tests: see `Params`."""
    monkeypatch.setattr(paths, "PARAMS", tmp_path / "params")
    return Params(tmp_path / "params")


# ------------------------------------------------------------------------- results of a study
@pytest.fixture(scope="session")
def write_made_up(tmp_path_factory):
    """Writes a study's made-up results below `paths.RESULTS`; they are computed once."""
    import synthetic

    written = {}

    def write(name, overrides):
        key = name, overrides, (paths.PARAMS / "studies" / f"{name}.yaml").read_text(encoding="utf-8")
        if key not in written:
            synthetic.write(name, overrides)
            written[key] = shutil.copytree(paths.RESULTS / name, tmp_path_factory.mktemp("made-up") / name)
        shutil.copytree(written[key], paths.RESULTS / name, dirs_exist_ok=True)

    return write


def copy_params(folder):
    """A copy of the project's params, with the additional study ``plain`` of three systems."""
    params = shutil.copytree(paths.PARAMS, folder / "params")
    shutil.copy(Path(__file__).parent / "plain.yaml", params / "studies")
    return params


@pytest.fixture
def studies(tmp_path, monkeypatch):
    """The folder of studies in a copy of the project's params, see `copy_params`."""
    monkeypatch.setattr(paths, "PARAMS", copy_params(tmp_path))
    return paths.PARAMS / "studies"


def use_folders(patch, folder, *names):
    """Let `paths` point to a folder, and give every result the same commit."""
    from ner_utils.results import provenance

    for name in names:
        patch.setattr(paths, name, folder / name.lower())
    patch.setattr(provenance, "commit", lambda: "0123456789")


@pytest.fixture
def made_up(tmp_path, monkeypatch, studies, write_made_up):
    """``made_up(overrides, study)`` writes a study's made-up results and loads them; all that is made of them
    goes to a temporary folder, too."""
    from ner_utils.results.study import load_results

    use_folders(monkeypatch, tmp_path, "RESULTS", "RUNS", "FIGURES", "THESIS")

    def make(overrides="", name="plain"):
        overrides = f"protocol.resamples=50 {overrides}"
        write_made_up(name, overrides)
        return load_results(name, overrides)

    return make


@pytest.fixture(scope="session")
def plain_study(tmp_path_factory, write_made_up):
    """The folder and the loaded results of the study ``plain``."""
    from ner_utils.results.study import load_results

    folder, overrides = tmp_path_factory.mktemp("plain"), "protocol.resamples=50 minilm:train_sentences=160"
    copy_params(folder)
    with pytest.MonkeyPatch.context() as patch:
        use_folders(patch, folder, "PARAMS", "RESULTS", "RUNS")
        write_made_up("plain", overrides)
        return folder, load_results("plain", overrides)


@pytest.fixture
def plain_results(plain_study, monkeypatch):
    """The results of ``plain``, computed once for all tests that change neither them nor their files."""
    folder, results = plain_study
    use_folders(monkeypatch, folder, "PARAMS", "RESULTS", "RUNS", "FIGURES", "THESIS")
    return results


def show(question, results):
    """Tables and figures of a question, by their names."""
    from ner_utils.analyses import QUESTIONS

    answer = QUESTIONS[question].answer(results)
    return {make.__name__: make(answer) for make in QUESTIONS[question].shown}


@pytest.fixture
def add_study(studies):
    """``add_study(name, text)`` adds a study to a copy of the project's params."""
    return lambda name, text: (studies / f"{name}.yaml").write_text(text, encoding="utf-8")


@pytest.fixture
def sketch(studies):
    """``sketch(name, systems, comparisons)`` adds a study with these lines, otherwise like ``plain``."""
    text = (studies / "plain.yaml").read_text(encoding="utf-8")
    head, protocol = text[: text.index("systems:")], text[text.index("protocol:") :]

    def add(name: str, systems: list[str], comparisons: str = "[]") -> None:
        declared = re.sub(
            r"(?s)comparisons:.*?(?=  dev_evaluations:)", f"comparisons: {comparisons}\n", protocol
        )
        lines = "".join(f"  {line}\n" for line in systems)
        (studies / f"{name}.yaml").write_text(f"{head}systems:\n{lines}{declared}", encoding="utf-8")

    return add


# ------------------------------------------------------------------------ the project as cloned
@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of the project like a clone, with the same environment."""
    folder = tmp_path_factory.mktemp("clone") / "project"
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=paths.ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    for name in files:
        if (paths.ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(paths.ROOT / name, folder / name)
    (folder / ".venv").symlink_to(paths.ROOT / ".venv")
    return folder


def make(folder, *arguments, **environment):
    """Exit code and output of ``make`` in a folder."""
    variables = os.environ | {"PYTHONPATH": str(folder)} | environment
    done = subprocess.run(
        ["make", *arguments], cwd=folder, capture_output=True, text=True, env=variables, timeout=300
    )
    return done.returncode, done.stdout + done.stderr
