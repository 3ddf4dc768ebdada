"""How does a model behind an OpenAI-compatible server predict the entities of sentences?

The first sentences are sent one at a time, which gives the latency, and the others at the same time. Every
reply is kept in the run's scratch folder, so that a stopped run asks nothing twice.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ner_utils import efficiency, forms, processes
from ner_utils.config.load import load_model
from ner_utils.config.run import Run
from ner_utils.config.strict_yaml import ConfigError
from ner_utils.data.predictions import Prediction
from ner_utils.data.sentence import Sentence
from ner_utils.forms.base import DROPPED
from ner_utils.forms.conversation import Conversation
from ner_utils.models import weights
from ner_utils.models.control_tokens import as_text
from ner_utils.models.endpoint.client import Client, NoReply, digest, max_tokens, worst
from ner_utils.models.endpoint.journal import BudgetError, Journal, Reply, dollars
from ner_utils.models.endpoint.local_server import serving
from ner_utils.models.prediction import Failures, keep_answers

CUT_OFF = "length"  # why an answer ended that reached the most tokens
GIVEN_UP = 3  # sentences in a row without a reply, after which the server is taken to be down


class Asker(Conversation):
    """Turns sentences into requests."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.run = run

    def plain_text(self, text: str) -> str:
        """The text without control tokens of usual models; the server's tokenizer is not known."""
        return as_text(text)

    def request(self, sentence: Sentence, model: str) -> dict[str, Any]:
        """The body of a request for greedy decoding."""
        asked = {
            "model": model,
            "messages": self.messages(sentence, self.format.instruction()),
            "temperature": 0,
            "max_tokens": self.run.model.max_new_tokens,
        }
        if self.run.model.constrained == "schema":
            schema = {"name": "entities", "strict": True, "schema": self.format.schema()}
            asked["response_format"] = {"type": "json_schema", "json_schema": schema}
        asked |= self.run.model.server.request
        return {key: value for key, value in asked.items() if value is not None}

    def text(self, reply: Reply) -> str:
        """The answer of a reply, under a schema without the object around it."""
        if self.run.model.constrained == "schema":
            with contextlib.suppress(ValueError, KeyError, TypeError):
                return json.dumps(json.loads(reply.answer)["entities"], ensure_ascii=False)
        return reply.answer

    def read(self, sentence: Sentence, reply: Reply | None) -> Prediction:
        """The prediction that a reply states; an empty one where there is none."""
        if reply is None:
            return Prediction(sentence.id, (), "failed", dict.fromkeys(DROPPED, 0))
        reading = self.format.read(self.text(reply), sentence.tokens)
        return Prediction(sentence.id, tuple(reading.spans), reading.status, reading.dropped)


@contextlib.contextmanager
def connected(run: Run, journal: Journal) -> Iterator[tuple[Client, str]]:
    """A client of the run's server, and the server's name for the model. Raises `ConfigError` without the
    key, and `NoReply` where the server cannot be used."""
    server = run.model.server
    with contextlib.ExitStack() as stack:
        url, model = server.url, server.model
        if server.serves:
            url, model = stack.enter_context(serving(server.serves))
        client = Client(server, url, journal, run.dataset.private)
        client.check()
        yield client, model


def check_server(run: Run, sentences: Sequence[Sentence]) -> float:
    """The most dollars that the sentences can cost. Raises `ConfigError` without the key, `NoReply` where the
    server cannot be used, and `ValueError` where the form does not read back what it writes."""
    asker, server = Asker(run), run.model.server
    forms.check(asker.format)
    if server.serves:
        weights.resolve(load_model(server.serves).weights)
        return 0.0
    # A run that is at work may be writing to its own journal.
    with (
        tempfile.TemporaryDirectory() as empty,
        Journal(Path(empty) / "replies.jsonl") as journal,
        connected(run, journal),
    ):
        pass
    requests = [asker.request(sentence, server.model) for sentence in sentences]
    if server.dollars and not min(map(max_tokens, requests)):
        raise ConfigError("server.dollars: needs max_tokens or max_completion_tokens in the request")
    losses = map(worst, requests)
    return sum(dollars(server.dollars, loss.read, loss.written) for loss in losses)


def predict_with_endpoint(
    run: Run, checkpoint: Path | None, sentences: Sequence[Sentence]
) -> tuple[list[Prediction], dict[str, Any]]:
    """Predict with the model behind a run's server; returns predictions in order, and their cost.

    A sentence that cannot be answered has a failed answer. Raises `ConfigError` where the key is missing, and
    `RuntimeError` where the server does not answer or the money does not suffice: what was answered is kept,
    and the next call goes on from there. Waits for another process that asks for this run.
    """
    asker, failures = Asker(run), Failures(run.dataset.private)
    run.scratch.mkdir(parents=True, exist_ok=True)
    with (
        processes.lock(run.scratch / "lock", "asks this run's server", wait=True),
        Journal(run.scratch / "replies.jsonl") as journal,
        connected(run, journal) as (client, model),
    ):
        requests = [asker.request(sentence, model) for sentence in sentences]
        try:
            _ask_all(run, client, sentences, requests, failures)
        except (NoReply, BudgetError) as error:
            answered = sum(digest(request) in journal.replies for request in requests)
            remedy = "raise server.most_dollars" if isinstance(error, BudgetError) else "mend that"
            raise RuntimeError(
                f"{error}; {answered} of {len(requests)} sentences are answered and kept: {remedy} and run "
                "again to go on"
            ) from None
        replies = [journal.replies.get(digest(request)) for request in requests]
    raw = [asker.text(reply) if reply else "" for reply in replies]
    keep_answers(run.scratch / "answers.jsonl", sentences, raw)
    predictions = [asker.read(*pair) for pair in zip(sentences, replies, strict=True)]
    return predictions, _cost(run, list(filter(None, replies)), len(failures))


def _ask_all(run: Run, client: Client, sentences, requests, failures: Failures) -> None:
    """Send the requests that have no reply yet."""
    kept, asked = client.journal.replies, {}
    for sentence, request in zip(sentences, requests, strict=True):
        asked.setdefault(digest(request), (sentence, request))  # a sentence that stands twice is sent once
    rows = [row for name, row in asked.items() if name not in kept]
    if len(rows) < len(requests):
        print(f"{len(requests) - len(rows)} of {len(requests)} sentences are answered already", flush=True)
    first = max(0, run.latency_sentences - sum(kept[name].alone for name in asked.keys() & kept.keys()))
    in_a_row = 0

    def settle(number: int, sentence: Sentence, error: Exception | None) -> None:
        nonlocal in_a_row
        in_a_row = in_a_row + 1 if error else 0
        if error:
            failures.add(sentence, error)
            if in_a_row == GIVEN_UP:
                raise NoReply(f"{error}: no reply to {GIVEN_UP} sentences in a row")
        if number % 64 == 0:
            money = f", ${client.budget.spent:.4f}" if run.model.server.dollars else ""
            print(f"answered {number}/{len(rows)} sentences{money}", flush=True)

    def ask(row: tuple[Sentence, dict[str, Any]], alone: bool) -> Exception | None:
        try:
            client.reply(row[1], alone)
        except (NoReply, BudgetError):
            raise
        except RuntimeError as error:
            return error
        return None

    for number, row in enumerate(rows[:first], 1):
        settle(number, row[0], ask(row, True))
    with ThreadPoolExecutor(run.model.server.at_once) as pool:
        replies = [pool.submit(ask, row, False) for row in rows[first:]]
        try:
            for number, (row, reply) in enumerate(zip(rows[first:], replies, strict=True), first + 1):
                settle(number, row[0], reply.result())
        finally:
            pool.shutdown(cancel_futures=True)


def _cost(run: Run, replies: Sequence[Reply], failed: int) -> dict[str, Any]:
    """The keys of efficiency.json: the time in which a request was on its way, tokens, and the server."""
    busy, end = 0.0, 0.0
    for reply in sorted(replies, key=lambda each: each.begin):
        busy += max(0.0, reply.end - max(reply.begin, end))
        end = max(end, reply.end)
    alone = [1000 * (reply.end - reply.begin) for reply in dict.fromkeys(replies) if reply.alone]
    unknown = {"sentences": 0, "mean_ms": None, "p50_ms": None, "p95_ms": None}
    server = run.model.server
    tokens = {side: sum(getattr(reply, side) for reply in replies) for side in ("read", "written")}
    models = [server.serves] if server.serves else sorted({reply.model for reply in replies})
    return {
        "prediction_seconds": {"model": busy},
        "sentences_per_second": len(replies) / busy if busy else None,
        "latency": efficiency.summary(alone) if alone else unknown,
        "prediction_memory": {},  # that of the server is not known
        "prediction_truncation": {"cut_off_answers": sum(reply.finish == CUT_OFF for reply in replies)},
        "failed_sentences": failed,
        "batch_size": server.at_once,
        "tokens": tokens,
        **({"dollars": dollars(server.dollars, **tokens)} if server.dollars else {}),
        "server": {"url": server.url or "this machine", "models": models},
    }
