"""The page of a study: its numbers are those of the study, and it shows no text that it may not."""

import json
from dataclasses import replace
from urllib.parse import parse_qsl

import pytest
from conftest import use_folders
from selenium.webdriver.common.by import By

from ner_utils import config, data, paths, thesis
from ner_utils.results import export
from ner_utils.results.study import load_results
from ner_utils.sharing import plain_text, report
from ner_utils.thesis import build

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """The results of the study that is stored with the code, and its page."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        use_folders(patch, folder, "FIGURES", "THESIS")
        results = load_results("example")
        # What it writes next to the results stays as it is.
        patch.setattr(export, "write_exports", lambda results: None)
        write = build.write_whole
        patch.setattr(
            build, "write_whole",
            lambda path, content: path.is_relative_to(paths.RESULTS) or write(path, content),
        )  # fmt: skip
        thesis.write_for_thesis(results)
        yield results, report.write_report(results)


def test_numbers_are_those_of_the_study(example, browser):
    results, file = example
    assert file.stat().st_size < 5e6
    browser.get(file.as_uri())
    rows = browser.find_elements(By.CSS_SELECTOR, "#scores tbody tr")
    shown = {row.find_elements(By.TAG_NAME, "td")[0].text: row.text for row in rows}
    for row in results.undisturbed.summary.itertuples():
        for value in (row.micro_f1, row.micro_f1_low, row.micro_f1_high, row.macro_f1):
            assert f"{value:.1f}" in shown[row.label]
    assert len(browser.find_elements(By.CSS_SELECTOR, "#comparisons tbody tr")) == len(results.comparisons)
    assert browser.find_element(By.CSS_SELECTOR, ".answer").text == plain_text.findings(results)["abstract"]
    assert all(
        image.get_attribute("naturalWidth") != "0"
        for image in browser.find_elements(By.CSS_SELECTOR, ".figures img")
    )
    width = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1], "something is wider than the window"


def test_a_number_of_a_table_leads_to_its_sentences(example, browser):
    results, file = example
    browser.get(file.as_uri())
    errors = json.loads((paths.RESULTS / "example" / "demo" / "differences.json").read_text())["errors"]
    link = browser.find_element(By.XPATH, "//*[@id='errors']//tr[td='SmolLM2 QLoRA']/td[4]/a")
    assert float(link.text) == errors["smollm2"]["boundary"]
    browser.execute_script("arguments[0].click()", link)
    said = browser.find_element(By.CSS_SELECTOR, ".ner-number").text
    assert f"with {errors['smollm2']['boundary']:.0f} mentions" in said
    assert "SmolLM2 QLoRA: outcome: wrong boundaries" in said


def test_findings_of_a_companion_study_name_it():
    """Otherwise two systems of one name, in different studies, are taken for one."""
    found = plain_text.findings(load_results("wnut17-cpu"))
    assert found["label_efficiency"].startswith("Companion study ‘What more labels are worth’: The F1 of ")
    assert not found["quality"].startswith("Companion")


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.00004, 4, "< 0.0001"),
        (0.00006, 4, "0.0001"),
        (0.0, 4, "0.0000"),
        (-0.04, 1, "−0.0"),
        (1234.5, 0, "1,234"),
    ],
)
def test_a_number_above_zero_is_not_shown_as_zero(value, digits, text):
    assert report._cell(value, digits).text == text


def test_a_study_without_comparisons_has_no_table_of_them():
    results = load_results("example")
    study = results.study
    bare = study.model_copy(update={"protocol": study.protocol.model_copy(update={"comparisons": []})})
    tables = map(report._slim, report._tables(replace(results, study=bare, computed={}), set()))
    assert [table.name for table in tables] == ["scores", "types", "errors", "costs"]


def test_links_hold_any_name_of_a_type():
    corpus, _, facets = report._link("demo", systems="minilm", type="R&D + 5 % #1").partition("|")
    assert (corpus, dict(parse_qsl(facets))) == ("demo", {"systems": "minilm", "type": "R&D + 5 % #1"})


def test_tables_are_sorted_and_saved(example, browser):
    results, file = example
    browser.get(file.as_uri())
    head = browser.find_element(By.XPATH, "//*[@id='scores']//th[button='micro F1']/button")
    column = [row.text for row in browser.find_elements(By.XPATH, "//*[@id='scores']//tbody/tr/td[3]")]
    browser.execute_script("arguments[0].click()", head)
    again = [row.text for row in browser.find_elements(By.XPATH, "//*[@id='scores']//tbody/tr/td[3]")]
    assert again == sorted(column, key=float, reverse=True)


def test_text_that_may_not_be_shown_is_not_there(example, monkeypatch):
    results, file = example
    sentences = data.load_split("demo", config.load_dataset("demo"), "test")
    assert all(sentence.tokens[0] in file.read_text() for sentence in sentences)
    load = config.load_dataset
    monkeypatch.setattr(
        report.config, "load_dataset", lambda name: load(name).model_copy(update={"quotable": False})
    )
    text = report.write_report(results).read_text()
    assert "does not allow to show its sentences" in text
    rare = {word for each in sentences for word in each.tokens if word.isalpha() and len(word) > 9}
    shown = plain_text.findings(results)
    assert not [word for word in rare if word in text and word not in str(shown) and word.islower()]
