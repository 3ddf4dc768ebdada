"""The files around the code: pins, README, licences, and the layout that README promises."""

import re
import subprocess
import tomllib

import pytest
import yaml

from ner_utils import paths
from ner_utils.results.study import load_results

PROJECT = tomllib.loads((paths.ROOT / "pyproject.toml").read_text())["project"]


def normal(name):
    return name.lower().replace("_", "-")


def pins():
    lines = (paths.ROOT / "constraints.txt").read_text().splitlines()
    return {normal(name): version for name, version in (line.split("==") for line in lines)}


def dependencies():
    return {normal(name) for name in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]}


def test_every_dependency_is_pinned():
    assert dependencies() <= set(pins())
    assert pins()["torch"] == "2.13.0"


def test_conda_users_get_the_same_pins():
    environment = yaml.safe_load((paths.ROOT / "environment.yml").read_text())
    pip = next(item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    listed = dict(item.split("==") for item in pip if "==" in item)
    assert {normal(name) for name in listed} == dependencies()
    assert {normal(name): version for name, version in listed.items()}.items() <= pins().items()
    assert "--constraint constraints.txt" in pip


PAGES = [paths.ROOT / "README.md", paths.ROOT / "CONTRIBUTING.md"]
PAGES += sorted((paths.ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_are_short_and_name_what_there_is(page):
    text = page.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 100
    for name in re.findall(
        r"`((?:params|notebooks|ner_utils|bench|tests|scripts|docs)/[\w/.-]+\.\w+)`", text
    ):
        assert (paths.ROOT / name).is_file(), name


@pytest.mark.parametrize("page", [*PAGES, paths.PARAMS / "README.md"], ids=paths.relative)
def test_links_lead_to_a_file_and_a_heading(page):
    """Links inside the project; anchors are headings as GitHub writes them."""
    links = re.findall(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)", page.read_text(encoding="utf-8"))
    for file, anchor in links:
        target = page.parent / file if file else page
        assert target.exists(), file
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings]


def test_readme_quotes_the_committed_results():
    """Its sentences on the answer: F1 with intervals, their difference, and the ratio of the two speeds."""
    text = " ".join(PAGES[0].read_text(encoding="utf-8").split())
    results = (paths.RESULTS / "scale-wnut17" / "README.md").read_text(encoding="utf-8")
    rows = {cells[0]: cells for cells in (line.strip("| ").split(" | ") for line in results.splitlines())}
    encoder, generator = rows["MPNet 110M"], rows["Qwen 1.5B"]
    first = encoder[2].replace("(", "(95 % interval ")
    assert f"reaches F1 {first} and an LLM of 1.5 billion {generator[2]}" in text
    compared = load_results("scale-wnut17").comparisons.set_index(["a", "b"])
    gain, small = compared.loc["mpnet", "qwen"], compared.loc["minilm", "smollm2"]
    assert f"{gain.difference:.1f} points higher ({gain.low:.1f} to {gain.high:.1f})" in text
    assert gain.low > 0
    assert gain.p_holm < 0.05 < small.p_holm
    ratio = float(encoder[-1]) / float(generator[-1])
    assert f"labels {ratio:.0f} times as many sentences a second" in text


def test_files_and_folders_stay_small():
    package = paths.ROOT / "ner_utils"
    lines = {path: len(path.read_text().splitlines()) for path in package.rglob("*.py")}
    assert sum(lines.values()) <= 19700
    assert max(lines.values()) <= 300, lines
    for folder in {path.parent for path in lines}:
        files = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(files) <= 8, (folder, files)


def test_imports_go_one_way():
    done = subprocess.run(["lint-imports", "--no-logo"], cwd=paths.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_no_corpus_but_our_own_is_committed():
    assert {path.name for path in paths.CORPORA.iterdir()} == {"demo"}
