"""The explorer in a real browser: facets, numbers that lead to sentences, hostile text, and speed."""

import itertools
import json
import random
import time
from pathlib import Path

import pytest
from jinja2.utils import htmlsafe_json_dumps
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from ner_utils import config, explorer
from ner_utils.data.predictions import Prediction
from ner_utils.data.sentence import Sentence
from ner_utils.data.spans import Span
from ner_utils.explorer import mentions, view

pytestmark = pytest.mark.slow
SOURCE = Path(mentions.__file__).parent


def page(seen, folder, start="{}"):
    """A page with the explorer alone; returns its address."""
    style, script = ((SOURCE / f"explorer.{kind}").read_text() for kind in ("css", "js"))
    text = f"""<!doctype html><meta charset="utf-8"><style>{style}</style><div id="root"></div>
<script type="application/json" id="data">{htmlsafe_json_dumps(view.view_of(seen))}</script>
<script type="module">{script}
const data = JSON.parse(document.getElementById("data").textContent);
mount(document.getElementById("root"), data, {{ start: {start} }});
window.render = render;</script>"""
    file = folder / "page.html"
    file.write_text(text, encoding="utf-8")
    return file.as_uri()


def numbers(browser):
    """The numbers of sentences and of mentions that the page states."""
    words = browser.find_element(By.CSS_SELECTOR, ".ner-number").text.replace(",", "").split()
    return int(words[0]), int(words[3])


def choose(browser, *labels):
    """Click on values of facets, each given as its facet and its label."""
    for title, label in labels:
        path = f"//fieldset[legend='{title}']//label[bdi[normalize-space()='{label}']]"
        browser.find_element(By.XPATH, path).click()


@pytest.fixture(scope="module")
def seen():
    return explorer.load_mentions("example", systems=["minilm", "smollm2"])


def test_three_facets_give_what_pandas_gives(browser, seen, tmp_path):
    browser.get(page(seen, tmp_path))
    assert numbers(browser)[0] == len(seen.gold)
    minilm, smollm2 = (run.label for run in seen.runs.values())
    choose(browser, ("Type", "location"), (f"{minilm}: outcome", "right"), (f"{smollm2}: outcome", "missed"))
    rows = seen.mentions
    chosen = rows[
        rows["gold"] & (rows["type"] == "LOC") & (rows["minilm"] == "correct") & (rows["smollm2"] == "missed")
    ]
    assert numbers(browser) == (chosen["id"].nunique(), len(chosen)) and len(chosen) > 3
    shown = browser.find_elements(By.CSS_SELECTOR, ".ner-card code")
    assert [code.text for code in shown] == list(dict.fromkeys(chosen["id"]))[:20]
    choose(browser, ("Words in train", "unseen"))
    assert numbers(browser)[1] == len(chosen[~chosen["seen"]])
    browser.find_element(By.XPATH, "//button[.='clear']").click()
    assert numbers(browser)[0] == len(seen.gold)


def test_scores_of_a_selection_are_those_of_the_study(browser, seen, tmp_path):
    browser.get(page(seen, tmp_path, '{type: ["PER"]}'))
    for system, run in seen.runs.items():
        score = explorer_score(seen, system)
        cells = browser.find_elements(By.XPATH, f"//tr[th='{run.label}']/td")
        shown = [float(cell.text) for cell in cells[:3]]
        assert shown == pytest.approx([100 * value for value in score], abs=0.051)
        low, high = map(float, cells[3].text.split(" to "))
        assert low < 100 * score[2] < high


def explorer_score(seen, system):
    rows = seen.mentions[seen.mentions["type"] == "PER"]
    right = (rows[system] == "correct").sum()
    precision = right / (right + (~rows["gold"] & (rows[system] != "")).sum())
    recall = right / rows["gold"].sum()
    return precision, recall, 2 * precision * recall / (precision + recall)


def test_a_number_leads_to_its_sentences(browser, seen, tmp_path):
    browser.get(page(seen, tmp_path))
    browser.find_element(By.CSS_SELECTOR, ".ner-top summary").click()
    label = f"{seen.runs['smollm2'].label}, seed 1"
    row = browser.find_element(By.XPATH, f"//table[caption='{label}']//tr[th='person']")
    button = row.find_elements(By.CSS_SELECTOR, "td")[5].find_element(By.TAG_NAME, "button")
    number = int(button.text)
    button.click()
    rows = seen.mentions
    missed = rows[rows["gold"] & (rows["type"] == "PER") & (rows["smollm2"] == "missed")]
    assert numbers(browser) == (missed["id"].nunique(), number) and number == len(missed)


# Each row's first number is clicked: the facet then counts what the row counts.
COUNTS = """
const all = (name, root = document) => [...root.querySelectorAll(name)];
const tables = () => all(".ner-top details table");
const text = (element) => element.textContent.trim();
return tables().flatMap((table, at) => [...table.rows].map((_, place) => {
  const cells = (row) => [...tables()[at].rows[row].cells].slice(1);
  const [titles, row] = [cells(0).map(text), cells(place)];
  const button = row.map((cell) => cell.querySelector("button")).find(Boolean);
  if (!button) return null;
  const expected = Object.fromEntries(row.map((cell, kind) => [titles[kind], text(cell)]));
  button.click();
  const outcomes = all("fieldset").filter((field) => /: outcome/.test(text(field)));
  const counts = all("label", outcomes[at]).map((label) => all("bdi, .ner-count", label).map(text));
  return [text(button), text(document.querySelector(".ner-number")).split(" ")[3], expected,
    Object.fromEntries(counts.filter(([title]) => titles.includes(title)))];
})).filter(Boolean);"""


def check_counts(browser):
    """All numbers of the tables of outcomes are those of the facets to which they lead; returns the first."""
    browser.find_element(By.CSS_SELECTOR, ".ner-top summary").click()
    found = browser.execute_script(COUNTS)
    for number, stated, row, counts in found:
        assert (
            number == stated and {title: number for title, number in row.items() if number != "0"} == counts
        )
    return found[0][3]


def test_facets_count_what_the_tables_count(browser, tmp_path):
    """A span may be spurious for one system, and half of an error of the other: the error counts once."""
    both = explorer.load_mentions("example", systems=["minilm", "smollm2", "minilm-held-out"])
    for a, b in itertools.combinations(both.runs, 2):
        browser.get(page(both, tmp_path, f'{{systems: ["{a}", "{b}"]}}'))
        check_counts(browser)
    sentence = Sentence("911", None, ("from", "Hyde", "Park", "Corner"), (Span(1, 4, "ORG"),))
    others = [Span(0, 2, "PER"), Span(2, 3, "PER"), Span(3, 4, "LOC")]
    browser.get(page(made_up([sentence], {"a": [[Span(3, 4, "LOC")]], "b": [others]}), tmp_path))
    choose(browser, ("a: outcome", "wrong type and boundaries"))
    assert numbers(browser) == (1, 1)
    browser.find_element(By.XPATH, "//button[.='clear']").click()
    choose(browser, ("a: confidence", "80 to 95 %"))
    assert numbers(browser) == (1, 1)
    browser.find_element(By.XPATH, "//button[.='clear']").click()
    assert check_counts(browser) == {"wrong type and boundaries": "1"}


def test_the_facets_of_python_are_those_of_the_page(browser, seen, tmp_path):
    """With all values chosen that Python has, all values of the page are shown and chosen."""
    known = {name: list(values) for name, values in view.facets(seen).items()}
    browser.get(page(seen, tmp_path, json.dumps(view.filters(seen, known))))
    boxes = browser.find_elements(By.CSS_SELECTOR, "fieldset input")
    assert all(box.is_selected() for box in boxes) and len(boxes) == sum(map(len, known.values()))
    assert len(browser.find_elements(By.CSS_SELECTOR, "fieldset")) == len(known)


def test_the_controls_show_what_the_page_shows(browser, seen, tmp_path):
    browser.get(page(seen, tmp_path, '{systems: "smollm2", text: "the"}'))  # a link to the second system
    compared = [f"{run.label}, seed {run.seed}" for run in reversed(seen.runs.values())]
    chosen = [
        Select(each).first_selected_option.text for each in browser.find_elements(By.TAG_NAME, "select")
    ]
    titles = [each.text for each in browser.find_elements(By.CSS_SELECTOR, "fieldset legend")]
    assert chosen == compared and titles[1:3] == [
        f"{run.label}: outcome" for run in reversed(seen.runs.values())
    ]
    search = browser.find_element(By.CSS_SELECTOR, "input[type=search]")
    assert search.get_attribute("value") == "the" and numbers(browser)[0] < len(seen.gold)
    browser.find_element(By.XPATH, "//button[.='first right, second wrong']").click()
    assert search.get_attribute("value") == ""


def test_the_keyboard_is_enough(browser, seen, tmp_path):
    browser.get(page(seen, tmp_path))
    box = browser.find_element(By.CSS_SELECTOR, "fieldset input")
    box.send_keys(Keys.SPACE)
    focused = browser.switch_to.active_element
    assert focused.get_attribute("type") == "checkbox" and focused.is_selected()
    search = browser.find_element(By.CSS_SELECTOR, "input[type=search]")
    search.send_keys("the")
    assert numbers(browser)[0] < len(seen.gold)


def made_up(sentences, predicted):
    """What is seen of made-up sentences: ``predicted`` maps systems to the spans of each sentence."""
    base = config.load_run("example", "demo", "minilm", 1)
    runs = {name: base.model_copy(update={"system": name, "label": name}) for name in predicted}
    rows = {
        name: [
            Prediction(s.id, tuple(spans), confidences=(-0.1,) * len(spans))
            for s, spans in zip(sentences, each, strict=True)
        ]
        for name, each in predicted.items()
    }
    return mentions.StudyMentions(
        "demo", sentences, runs, rows, mentions._mentions(sentences, runs, rows, sentences)
    )


FAILING = """
const root = document.getElementById("root");
const heard = {};
const data = JSON.parse(document.getElementById("data").textContent);
const model = { on: (name, call) => { heard[name] = call; }, off() {}, send(message) {
  if (message.kind === "data") heard["msg:custom"]({ kind: "data", data, start: {}, asks: true });
  else if (message.text !== "lost") throw new Error("Cannot send");
} };
render({ model, el: root });
const found = [];
for (const text of ["at once", "lost"]) {
  const [field, button] = ["textarea", "button"].map((name) => root.querySelector(`.ner-trial ${name}`));
  field.value = text;
  button.click();
  found.push(button.disabled);
  for (let tries = 0; button.disabled && tries < 200; tries += 1)
    await new Promise((next) => setTimeout(next, 50));
  found.push(root.querySelector(".ner-trial [role=status]").textContent, button.disabled);
}
return found;"""


def test_a_question_without_an_answer_ends_with_a_message(browser, seen, tmp_path):
    """The kernel cannot be reached, or it is lost while it computes."""
    browser.get(page(seen, tmp_path))
    found = browser.execute_async_script(f"(async () => {{{FAILING}}})().then(arguments[0])")
    lost = "There is no connection to the kernel: run the notebook again."
    assert found == [True, lost, False, True, lost, False]


HOSTILE = (
    "<script>document.title='taken'</script>",
    "<img src=x onerror=\"document.title='taken'\">",
    "</script><script>document.title='taken'</script>",
    "\u202egnp.exe\u202c",
    "שלום",
    "x" * 10_000,
    "&lt;b&gt;",
    "\x1b[31m",
    "${document.title='taken'}",
)


def test_hostile_text_is_shown_as_text(browser, tmp_path):
    sentences = [
        Sentence(f"id{at}{text[:40]}", text[:50], ("Ada", text, "."), (Span(1, 2, "PER"),))
        for at, text in enumerate(HOSTILE)
    ]
    seen = made_up(sentences, {"<b>a</b>": [(Span(1, 2, "PER"),)] * 9, "b": [(Span(0, 2, "LOC"),)] * 9})
    browser.get(page(seen, tmp_path))
    assert browser.title == ""
    tokens = [
        each.get_attribute("textContent")
        for each in browser.find_elements(By.CSS_SELECTOR, ".ner-token > bdi")
    ]
    shown = {text: text for text in HOSTILE} | {
        HOSTILE[3]: "⟨U+202E⟩gnp.exe⟨U+202C⟩", HOSTILE[7]: "⟨U+001B⟩[31m",
    }  # fmt: skip
    assert tokens[1::3] == list(shown.values())
    assert not browser.find_elements(By.CSS_SELECTOR, "#root :is(script, img)")
    width = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1], "something is wider than the window"


def test_many_sentences_are_quick(browser, tmp_path):
    """20,000 sentences with 10 systems: a choice takes less than a second."""
    chance = random.Random(1)
    sentences, spans = [], []
    for at in range(20_000):
        tokens = tuple(chance.choice(("Ada", "met", "Bo", "in", "Rome")) for _ in range(15))
        start = chance.randrange(12)
        spans.append((Span(start, start + chance.randint(1, 3), chance.choice(("PER", "LOC"))),))
        sentences.append(Sentence(f"s{at}", f"d{at // 10}", tokens, spans[-1]))
    systems = {
        f"system {number}": [
            each if chance.random() < 0.6 else () if chance.random() < 0.5 else (Span(0, 1, "PER"),)
            for each in spans
        ]
        for number in range(10)
    }
    seen = made_up(sentences, systems)
    address = page(seen, tmp_path)
    began = time.perf_counter()
    browser.get(address)
    loaded = time.perf_counter() - began
    rows = seen.mentions
    expected = rows[rows["gold"] & (rows["type"] == "LOC") & (rows["system 0"] == "correct")]
    began = time.perf_counter()
    choose(browser, ("Type", "location"), ("system 0: outcome", "right"))
    chosen = (time.perf_counter() - began) / 2
    assert numbers(browser)[1] == len(expected)
    print(f"loaded in {loaded:.2f} s, a choice in {chosen:.2f} s")
    assert loaded < 20 and chosen < 10  # far above what it takes, because machines are busy
