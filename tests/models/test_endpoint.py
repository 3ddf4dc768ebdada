"""Models behind a server: what is asked, what is read, what faults do, and what it costs."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from answering import answering
from trial_study import STUDY, row

from ner_utils import config, paths
from ner_utils.config import ConfigError
from ner_utils.config.schema import EndpointModel, Server, Weights
from ner_utils.config.strict_yaml import check
from ner_utils.data.sentence import Sentence
from ner_utils.data.spans import Span
from ner_utils.models import generation
from ner_utils.models.endpoint import client, predictor
from ner_utils.models.endpoint.journal import Journal
from ner_utils.models.endpoint.local_server import serving
from ner_utils.results import provenance
from ner_utils.sealed import ResultError

ADA = '[{"text": "Ada", "type": "person"}]'
PRICES = {"read": 1.0, "written": 10.0}  # a reply of `Answering` costs 100 + 100 = 200 millionths of a dollar


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(client, "_pause", lambda state: 0.0)


@pytest.fixture
def run_of(trial, tmp_path, monkeypatch):
    """``run_of(server, **keys)``: a zero-shot run with a model behind a server."""
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")

    def make(url, model=(), few_shot=None, **server):
        values = {"approach": "endpoint", "label": "Served", "output_format": "json", "max_new_tokens": 20}
        values |= {"server": {"url": url, "model": "m", **server}, **dict(model)}
        (trial.studies.parent / "models" / "served.yaml").write_text(json.dumps(values))
        how = f"few_shot: {few_shot}" if few_shot else "zero_shot: true"
        trial.study(STUDY.replace("{model: minilm}", f"{{model: served, {how}}}"))
        return config.load_run("trial", "mine", "tagger", 1 if few_shot else 0)

    return make


def some(number, word="Ada"):
    return [Sentence(f"s{at}", None, (word, "met", f"Bo{at}"), ()) for at in range(number)]


def predict(run, sentences):
    return predictor.predict_with_endpoint(run, None, sentences)


def test_what_is_asked_and_what_is_read(run_of, monkeypatch):
    monkeypatch.setenv("A_KEY", "s3cret")
    with answering(answer=ADA) as server:
        run = run_of(server.url, key="A_KEY", request={"seed": 7, "temperature": None}, few_shot=1)
        predicted, cost = predict(run, some(2))
    assert [each.spans for each in predicted] == [(Span(0, 1, "PER"),)] * 2
    assert predicted[0].status == "ok" and server.keys == ["Bearer s3cret"] * 2
    first = server.asked[0]
    assert [each["role"] for each in first["messages"]] == ["system", "user", "assistant", "user"]
    assert "person, location" in first["messages"][0]["content"]
    assert first["messages"][-1]["content"] == "Ada met Bo0"
    assert (first["model"], first["max_tokens"], first["seed"]) == ("m", 20, 7) and "temperature" not in first
    assert cost["tokens"] == {"read": 200, "written": 20} and "dollars" not in cost
    assert cost["server"]["models"] == ["m"] and cost["latency"]["sentences"] == 1
    stored = "".join(path.read_text() for path in run.scratch.iterdir())
    assert "s3cret" not in stored and "s3cret" not in run.model_dump_json()


def test_a_schema_wraps_the_list_in_an_object(run_of):
    whole = {"entities": json.loads(ADA)}
    with answering(answer=json.dumps(whole)) as server:
        predicted, _ = predict(run_of(server.url, {"constrained": "schema"}), some(1))
    assert predicted[0].spans == (Span(0, 1, "PER"),) and predicted[0].status == "ok"
    asked = server.asked[0]["response_format"]["json_schema"]["schema"]
    kinds = asked["properties"]["entities"]["items"]["properties"]["type"]
    assert kinds["enum"] == ["person", "location"]


def test_requests_are_sent_together_after_those_that_are_timed(run_of):
    with answering(seconds=0.2) as server:
        _, cost = predict(run_of(server.url, at_once=3), some(7))
    assert server.together == 3 and len(server.asked) == 7
    assert cost["sentences_per_second"] > 1.5 / 0.2  # the first one waits for itself


def test_nothing_is_asked_twice(run_of, capsys):
    with answering(answer=ADA) as server:
        run = run_of(server.url)
        first, cost = predict(run, some(3))
        again, other = predict(run, [*some(4), *some(1)])
    assert len(server.asked) == 4 and again[:3] == first and again[4] == again[0]
    assert "4 of 5 sentences are answered already" in capsys.readouterr().out
    assert other["tokens"]["read"] == 500 and cost["latency"] == other["latency"]


def test_other_sentences_of_a_run_have_a_latency_and_a_price_of_their_own(run_of):
    """Dev sentences are predicted first."""
    with answering() as server:
        run = run_of(server.url, dollars=PRICES)
        predict(run, some(5, "Bea"))
        _, cost = predict(run, some(4))
    assert cost["latency"]["sentences"] == 1 and cost["dollars"] == pytest.approx(0.0008)


@pytest.mark.parametrize("bytes_lost", [9, 1])
def test_a_line_that_was_cut_off_is_asked_again(bytes_lost, run_of):
    with answering() as server:
        run = run_of(server.url)
        predict(run, some(2))
        path = run.scratch / "replies.jsonl"
        path.write_bytes(path.read_bytes()[:-bytes_lost])
        predict(run, some(2))
        assert len(server.asked) == 3
    with Journal(path) as journal:
        assert len(journal.replies) == 2
    path.write_bytes(b"lost\n" + path.read_bytes())
    with pytest.raises(ResultError, match="replies.jsonl:1: no reply; restore the file"):
        Journal(path)
    assert len(path.read_bytes().splitlines()) == 3


def test_two_at_a_time_ask_nothing_twice(run_of):
    with answering(answer=ADA, seconds=0.1) as server, ThreadPoolExecutor() as pool:
        run = run_of(server.url, at_once=1)
        (first, _), (second, _) = pool.map(predict, [run] * 2, [some(5)] * 2)
    assert len(server.asked) == 5 and first == second


def test_preflight_leaves_the_replies_of_a_run_at_work(run_of, warned):
    with answering() as server:
        path = run_of(server.url).scratch / "replies.jsonl"
        path.parent.mkdir(parents=True)
        path.write_bytes(b'{"request": "half of a')
        warned()
    assert path.read_bytes() == b'{"request": "half of a'


# ------------------------------------------------------------------------------ faults
@pytest.mark.parametrize(
    "fault", [429, 500, 503, 409, '{"id": "1", "choi', "", "[]", '{"choices": []}', "null", "no JSON"]
)
def test_a_fault_that_passes_is_tried_again(fault, run_of):
    with answering(answer=ADA, faults=[fault, fault]) as server:
        predicted, cost = predict(run_of(server.url, tries=3), some(2))
    assert len(server.asked) == 4 and cost["failed_sentences"] == 0
    assert all(each.spans for each in predicted)


@pytest.mark.parametrize("fault", [500, '{"id": "1", "choi', "", "null"])
def test_a_sentence_without_a_reply_fails_alone(fault, run_of, capsys):
    with answering(answer=ADA, faults=[None, fault, fault]) as server:
        predicted, cost = predict(run_of(server.url, tries=2, at_once=1), some(4))
    assert [each.status for each in predicted] == ["ok", "failed", "ok", "ok"]
    assert cost["failed_sentences"] == 1 and "no prediction for s1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (401, "AuthenticationError.*fault 401"),
        (403, "PermissionDenied"),
        (404, "NotFound"),
        (429, "RateLimitError"),
        (500, "InternalServerError.*no reply to 3 sentences in a row"),
        ("{", "BadReply.*no reply to 3 sentences in a row"),
    ],
)
def test_a_server_that_is_down_ends_the_run_and_loses_nothing(fault, message, run_of):
    with answering(answer=ADA, faults=[None, None, *[fault] * 30]) as server:
        run = run_of(server.url, tries=2, at_once=1)
        with pytest.raises(RuntimeError, match=rf"(?s)127.0.0.1.*{message}.*2 of 8 sentences are answered"):
            predict(run, some(8))
        server.faults = []
        asked = len(server.asked)
        predicted, _ = predict(run, some(8))
        assert len(server.asked) == asked + 6 and all(each.spans for each in predicted)


def test_no_server_at_all(run_of, warned):
    with answering() as server:
        url = server.url
    run = run_of(url, tries=2)
    with pytest.raises(RuntimeError, match="127.0.0.1.*APIConnectionError.*refused"):
        predict(run, some(2))
    with pytest.raises(ConfigError, match="systems.tagger: http://127.0.0.1.*refused"):
        warned()


def test_a_proxy_does_not_stand_before_this_machine(run_of, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with answering(answer=ADA) as server:
        predicted, _ = predict(run_of(server.url, tries=1), some(1))
    assert predicted[0].status == "ok"


def test_the_key_is_looked_for_before_anything_else(run_of, warned, monkeypatch):
    monkeypatch.delenv("A_KEY", raising=False)
    run_of("https://api.example.org/v1", key="A_KEY")
    with pytest.raises(ConfigError, match="server.key: the environment has no variable A_KEY"):
        warned()


def test_a_key_that_a_server_repeats_is_not_printed(run_of, monkeypatch):
    monkeypatch.setenv("A_KEY", "s3cret")
    with answering(faults=[401]) as server, pytest.raises(RuntimeError) as caught:
        server.reply = lambda body: (401, b'{"error": {"message": "Incorrect API key: s3cret"}}')
        predict(run_of(server.url, key="A_KEY"), some(1))
    assert "s3cret" not in str(caught.value) and "(the key)" in str(caught.value)


def test_the_pause_is_the_one_that_the_server_asks_for(monkeypatch):
    monkeypatch.undo()

    def pause(attempt, **headers):
        error = Exception()
        error.response = type("Response", (), {"headers": headers})
        outcome = type("Outcome", (), {"exception": lambda self: error})()
        return client._pause(type("State", (), {"outcome": outcome, "attempt_number": attempt}))

    assert [pause(number) for number in (1, 2, 3, 30)] == [0.5, 1, 2, client.LONGEST_PAUSE]
    assert pause(5, **{"retry-after": "7"}) == 7 and pause(1, **{"retry-after": "tomorrow"}) == 0.5


# ------------------------------------------------------------------------------- money
def test_the_limit_of_money_holds(run_of):
    with answering() as server:
        run = run_of(server.url, dollars=PRICES, most_dollars=0.002, at_once=4)
        with pytest.raises(RuntimeError, match="of \\$0.002.*raise server.most_dollars and run again"):
            predict(run, some(30))
        spent = 0.0002 * len(server.asked)
        assert 0.001 < spent <= 0.002
        with Journal(run.scratch / "replies.jsonl") as journal:
            assert journal.spent(run.model.server.dollars) == pytest.approx(spent)
        # The same replies count for a run with more money.
        more = run_of(server.url, dollars=PRICES, most_dollars=0.1)
        assert more.scratch == run.scratch
        _, cost = predict(more, some(30))
        assert len(server.asked) == 30 and cost["dollars"] == pytest.approx(0.006)


def test_a_reply_that_cannot_be_read_is_paid_for(run_of):
    with answering(faults=["{"] * 100) as server:
        run = run_of(server.url, dollars=PRICES, most_dollars=0.002, tries=9)
        worst = client.worst(predictor.Asker(run).request(some(1)[0], "m"))
        most = (worst.read + 10 * worst.written) / 1e6
        with pytest.raises(RuntimeError, match="of \\$0.002"):
            predict(run, some(1))
        assert len(server.asked) == int(0.002 / most)


def test_both_limits_of_an_answer_count():
    """A server may heed either."""
    asked = {"messages": [], "max_tokens": 20, "max_completion_tokens": 500}
    assert client.worst(asked).written == 500 and client.max_tokens({"max_completion_tokens": None}) == 0


def test_preflight_prints_the_most_that_a_run_can_cost(run_of, warned, trial):
    """On test, on dev, and on what it labels for another system."""
    prices = {"read": 1.0, "written": 1e6}
    end = "at most for each of its {} runs, and is stopped before it has cost $2"
    with answering() as server:
        run_of(server.url, dollars=prices, most_dollars=2, few_shot=1)
        assert warned() == ["tagger on mine can cost $40.00 " + end.format(2)]
        assert warned("protocol.dev_predictions=1") == ["tagger on mine can cost $60.00 " + end.format(2)]
        run_of(server.url, dollars=prices, most_dollars=2)
        student = "\n  student: {model: minilm, labels_from: tagger, train_sentences: 1}\nprotocol:"
        trial.study((trial.studies / "trial.yaml").read_text().replace("\nprotocol:", student))
        trial.split("train", [row(["Ada"]), row(["Bo"])])
        (line,) = warned("seeds=[1]")
        assert line.startswith("tagger on mine can cost $60.00 at most, and")
        trial.study((trial.studies / "trial.yaml").read_text().replace(student, "\nprotocol:"))
        run_of(
            server.url,
            {"server": {"url": server.url, "model": "m", "dollars": prices, "request": {"max_tokens": None}}},
        )
        with pytest.raises(ConfigError, match="server.dollars: needs max_tokens"):
            warned()


@pytest.mark.parametrize(
    ("server", "message"),
    [
        ({"url": "http://h/v1"}, "expected the keys url and model"),
        ({"url": "http://h/v1", "model": "m", "serves": "minilm"}, "expected the keys url and model"),
        ({"model": "m"}, "expected the keys url and model"),
        ({"url": "ftp://h/v1", "model": "m"}, "url: expected"),
        ({"url": "https://user:pw@h/v1", "model": "m"}, "without a key in it"),
        ({"url": "https://h/v1?key=1", "model": "m"}, "without a key in it"),
        ({"url": "http://h/v1", "model": "m", "most_dollars": 1}, "needs the prices"),
        ({"url": "http://h/v1", "model": "m", "request": {"stream": True}}, "stream cannot be changed"),
        ({"url": "http://h/v1", "model": "m", "key": "sk-123"}, "key"),
    ],
)
def test_servers_that_are_refused(server, message):
    values = {"approach": "endpoint", "label": "S", "output_format": "json", "max_new_tokens": 20}
    with pytest.raises(ConfigError, match=message):
        check(EndpointModel, values | {"server": server}, "here")


def test_private_sentences_stay_here(trial, run_of):
    trial.dataset((trial.studies.parent / "datasets" / "mine.yaml").read_text() + "private: true\n")
    with pytest.raises(ConfigError, match="mine is private.*sent to https://api.example.org/v1"):
        run_of("https://api.example.org/v1")
    assert run_of("http://localhost:8000/v1") and run_of("https://api.example.org/v1", takes_private=True)


def test_of_a_private_corpus_no_words_of_the_server_are_printed(run_of):
    with answering(faults=[401]) as server:
        run = run_of(server.url)
        private = run.dataset.model_copy(update={"private": True})
        with pytest.raises(RuntimeError, match="/v1: AuthenticationError; 0 of 1 sentences"):
            predict(run.model_copy(update={"dataset": private}), some(1))


def test_a_model_behind_a_server_is_not_trained(run_of, trial):
    run_of("http://localhost:1/v1")
    trial.study((trial.studies / "trial.yaml").read_text().replace(", zero_shot: true", ""))
    with pytest.raises(ConfigError, match="expected zero_shot or few_shot"):
        config.load_study("trial")


def test_the_address_of_a_model_does_not_matter(run_of):
    one, other = run_of("http://a/v1"), run_of("http://b/v1", at_once=9, timeout=5)
    assert one.fingerprint == other.fingerprint
    assert one.fingerprint != run_of("http://a/v1", request={"seed": 1}).fingerprint


def test_the_weights_that_are_served_matter(run_of, trial, tmp_path):
    file, server = (
        trial.studies.parent / "models" / "smollm2-135m.yaml",
        {"server": {"serves": "smollm2-135m"}},
    )
    text, found = file.read_text(), set()
    for edited in (text, text.replace("version: 0.1.2", "version: 0.1.1")):
        file.write_text(edited)
        found.add(run_of(None, server).fingerprint)
    assert len(found) == 2
    (tmp_path / "config.json").write_text("{}")
    local = Weights(folder=str(tmp_path))
    run = run_of(None, server)
    run = run.model_copy(update={"served": run.served.model_copy(update={"weights": local})})
    assert "config.json" in provenance.inputs(run)["weights"]
    with pytest.raises(ConfigError, match="server.serves: minilm does not generate text"):
        run_of(None, {"server": {"serves": "minilm"}})


# ----------------------------------------------------------------------- a real server
@pytest.fixture(scope="module")
def served():
    with serving("smollm2-135m") as (url, folder):
        yield url, folder


def served_run(make_run, url, folder, **keys):
    run = make_run("smollm2-served", keys, untrained=True)
    server = Server(url=url, model=folder, at_once=2)
    return run.model_copy(update={"model": run.model.model_copy(update={"server": server})})


@pytest.mark.slow
def test_answers_are_those_of_the_model_on_this_machine(served, demo, make_run):
    """Greedy decoding of the same weights, with the library's server in between."""
    sentences = demo["test"][:12]
    here = make_run("smollm2-135m", {"max_new_tokens": 24, "quantisation": None}, untrained=True)
    expected, _ = generation.predict_with_generator(here, None, sentences)
    run = served_run(make_run, *served, max_new_tokens=24)
    predicted, cost = predict(run, sentences)
    raw = [[json.loads(line) for line in (each.scratch / "answers.jsonl").open()] for each in (here, run)]
    assert raw[0] == raw[1] and [p.spans for p in predicted] == [p.spans for p in expected]
    assert cost["tokens"]["written"] > 100


KILLED = """
import sys
from pathlib import Path
from ner_utils import paths
from ner_utils.config.run import Run
from ner_utils.data.sentence import Sentence
from ner_utils.models.endpoint import predictor
paths.RUNS = Path(sys.argv[1])
run = Run.model_validate_json(sys.stdin.read())
sentences = [Sentence(f"s{at}", None, ("Ada", "met", f"Bo{at}"), ()) for at in range(40)]
predictor.predict_with_endpoint(run, None, sentences)
"""


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_without_asking_again(served, make_run):
    url, folder = served
    with answering(upstream=url) as server:
        run = served_run(make_run, server.url, folder, max_new_tokens=4)
        command = [sys.executable, "-c", KILLED, str(paths.RUNS)]
        first = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=paths.ROOT)
        first.stdin.write(run.model_dump_json().encode())
        first.stdin.close()
        while len(server.asked) < 10 and first.poll() is None:
            time.sleep(0.05)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        assert len(server.asked) < 40
        predicted, cost = predict(run, some(40))
    assert len(predicted) == 40 and cost["failed_sentences"] == 0
    # What was on its way when the process was killed is asked again, and nothing else.
    assert len(server.asked) <= 40 + run.model.server.at_once
