"""How is a request sent until it is answered?"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from typing import Any

import openai
import tenacity

from ner_utils.config.schema import Server
from ner_utils.config.strict_yaml import ConfigError
from ner_utils.messages import one_line
from ner_utils.models.endpoint.journal import Budget, Journal, Loss, Reply, dollars

LONGEST_PAUSE = 60.0  # seconds between two tries
TURN = 64  # bytes that a chat template adds to a message, at most
# Errors that another try may mend.
PASSING = (
    openai.APIConnectionError, openai.RateLimitError, openai.InternalServerError, openai.ConflictError,
)  # fmt: skip
# Errors that every request would have.
FATAL = (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError)


class NoReply(RuntimeError):
    """The server answers no request."""


class BadReply(RuntimeError):
    """What the server sent is no answer."""


class Client:
    """Sends requests to a server at an address, about a corpus that may be ``private``. Raises `ConfigError`
    without the key in the environment."""

    def __init__(self, server: Server, url: str, journal: Journal, private: bool) -> None:
        self.server, self.url, self.journal, self.private = server, url, journal, private
        self.budget = Budget(server.most_dollars, journal.spent(server.dollars))
        self.key = os.environ.get(server.key, "") if server.key else "none"
        if not self.key:
            raise ConfigError(f"server.key: the environment has no variable {server.key}, or it is empty")
        # Tries are counted here, because each may cost money.
        settings = {"base_url": url, "api_key": self.key, "max_retries": 0, "timeout": server.timeout}
        # A server on this machine is not behind the proxy that leads elsewhere.
        proxy = {"http_client": openai.DefaultHttpx2Client(trust_env=False)} if server.is_local else {}
        self._client = openai.OpenAI(**settings, **proxy)

    def check(self) -> None:
        """Raise `NoReply` unless the server can be reached and accepts the key; print a warning if its list
        lacks the model."""
        try:
            names = [model.id for model in self._client.models.list()]
        except (openai.AuthenticationError, openai.PermissionDeniedError, openai.APIConnectionError) as error:
            raise NoReply(self.describe(error)) from None
        except (openai.OpenAIError, ValueError, TypeError, AttributeError):
            return  # not every server has such a list
        if names and self.server.model and self.server.model not in names:
            known = one_line(", ".join(names))
            print(f"warning: {self.url} does not list {self.server.model}; it lists {known}", flush=True)

    def reply(self, request: Mapping[str, Any], alone: bool) -> Reply:
        """The reply to a request, after as many tries as are declared.

        Raises `NoReply` for what would stop any request, `BudgetError` where the money may not suffice, and
        `RuntimeError` where only this request failed.
        """
        tries = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.server.tries),
            wait=_pause,
            retry=tenacity.retry_if_exception(_passes),
            reraise=True,
        )
        try:
            return tries(self._once, request, alone)
        except (*FATAL, openai.APIConnectionError, openai.RateLimitError) as error:
            raise NoReply(self.describe(error)) from None
        except (openai.OpenAIError, BadReply) as error:
            raise RuntimeError(self.describe(error)) from None

    def describe(self, error: Exception) -> str:
        """What went wrong, in one line and without the key; of a private corpus, without the server's words,
        because they may quote text."""
        if self.private:
            return f"{self.url}: {type(error).__name__}"
        cause = error.__cause__ or error if isinstance(error, openai.APIConnectionError) else error
        text = one_line(str(cause).replace(self.key, "(the key)"))
        return f"{self.url}: {type(error).__name__}: {text}"

    def _once(self, request: Mapping[str, Any], alone: bool) -> Reply:
        """One try, whose reply is kept."""
        loss, prices = worst(request), self.server.dollars
        most, paid = dollars(prices, loss.read, loss.written), 0.0
        self.budget.reserve(most)
        try:
            begin = time.time()
            completion = self._client.chat.completions.create(**_arguments(request))
            reply = _reply_of(completion, loss) | {"begin": begin, "end": time.time(), "alone": alone}
            reply = Reply(request=digest(request), **reply)
            self.journal.add(reply)
            paid = dollars(prices, reply.read, reply.written)
            return reply
        except (ValueError, TypeError, AttributeError, openai.APIResponseValidationError) as error:
            self.journal.add(loss)
            paid = most
            raise BadReply(f"no chat completion ({type(error).__name__}: {error})") from None
        except openai.APIConnectionError as error:
            if not _never_sent(error):
                self.journal.add(loss)
                paid = most
            raise
        finally:
            self.budget.settle(most, paid)


def digest(request: Mapping[str, Any]) -> str:
    """The SHA-256 of a request."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


def max_tokens(request: Mapping[str, Any]) -> int:
    """The most tokens of an answer."""
    return max(request.get(key) or 0 for key in ("max_tokens", "max_completion_tokens"))


def worst(request: Mapping[str, Any]) -> Loss:
    """The most tokens that a server can count: none is shorter than a byte."""
    read = sum(len(message["content"].encode()) + TURN for message in request["messages"])
    return Loss(read, max_tokens(request))


def _arguments(request: Mapping[str, Any]) -> dict[str, Any]:
    """A request for the library, which sends keys that it does not know from ``extra_body`` alone."""
    known = {"model", "messages"}
    return {
        **{key: value for key, value in request.items() if key in known},
        "extra_body": {key: value for key, value in request.items() if key not in known},
    }


def _reply_of(completion: Any, loss: Loss) -> dict[str, Any]:
    """What a completion states; a server that counts no tokens is taken to have counted the most. Raises
    `ValueError` where it is no completion."""
    if not completion.choices:
        raise ValueError("no choices")
    choice, usage = completion.choices[0], completion.usage
    answer = choice.message.content or ""
    if not isinstance(answer, str):
        raise ValueError("no text")
    tokens = (usage.prompt_tokens, usage.completion_tokens) if usage else (loss.read, loss.written)
    keys = ("answer", "finish", "model", "read", "written")
    return dict(zip(keys, (answer, choice.finish_reason, completion.model or "", *tokens), strict=True))


def _never_sent(error: openai.APIConnectionError) -> bool:
    """Whether there was no connection, so that nothing can be charged."""
    return type(error.__cause__).__name__ in ("ConnectError", "ConnectTimeout")


def _passes(error: BaseException) -> bool:
    """Whether another try may help. An account without money says so with the status of a short pause."""
    if getattr(error, "code", None) == "insufficient_quota":
        return False
    return isinstance(error, (*PASSING, BadReply))


def _pause(state: tenacity.RetryCallState) -> float:
    """Seconds before the next try: what the server asks for, or twice as long each time."""
    error = state.outcome.exception() if state.outcome else None
    asked = getattr(getattr(error, "response", None), "headers", {}).get("retry-after", "")
    if asked.replace(".", "", 1).isdigit():
        return min(LONGEST_PAUSE, float(asked))
    return min(LONGEST_PAUSE, 0.5 * 2 ** (state.attempt_number - 1))
