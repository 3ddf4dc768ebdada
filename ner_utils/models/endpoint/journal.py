"""Which requests were answered, and what did they cost? Kept in a file, so that nothing is asked twice."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from ner_utils import paths
from ner_utils.config.schema import Prices
from ner_utils.sealed import ResultError


class BudgetError(RuntimeError):
    """The next request could pass the limit of money."""


@dataclass(frozen=True)
class Reply:
    """A server's answer to a request, which its SHA-256 identifies: the text, why it ended, the tokens that
    the server counted, seconds since 1970 at which the request began and ended, and whether it was sent by
    itself; the model's name as the server states it."""

    request: str
    answer: str
    finish: str | None
    read: int
    written: int
    begin: float
    end: float
    alone: bool
    model: str


@dataclass(frozen=True)
class Loss:
    """A request without a reply, for which a server may charge: the most tokens that it can have counted."""

    read: int
    written: int


_ROW = TypeAdapter(Reply | Loss)


class Journal:
    """The replies in a file, by the checksums of their requests, and the losses. Each is on the disk before
    it is used; a last line that was cut off is removed. Raises `ResultError` where another is no reply."""

    def __init__(self, path: Path) -> None:
        self.replies: dict[str, Reply] = {}
        self.losses: list[Loss] = []
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        *lines, cut_off = path.read_bytes().split(b"\n") if path.is_file() else [b""]
        for number, line in enumerate(lines, 1):
            try:
                self._count(_ROW.validate_json(line))
            except ValidationError:
                again = "restore the file, or move it away to pay again"
                raise ResultError(f"{paths.relative(path)}:{number}: no reply; {again}") from None
        self._file = path.open("ab")
        self._file.truncate(self._file.tell() - len(cut_off))

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, row: Reply | Loss) -> None:
        """Keep a reply or a loss."""
        with self._lock:
            self._file.write(_ROW.dump_json(row) + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
            self._count(row)

    def spent(self, prices: Prices | None) -> float:
        """Dollars for all that is kept."""
        return sum(dollars(prices, row.read, row.written) for row in (*self.replies.values(), *self.losses))

    def _count(self, row: Reply | Loss) -> None:
        if isinstance(row, Reply):
            self.replies[row.request] = row
        else:
            self.losses.append(row)


class Budget:
    """Money that a run may spend: the most that each request can cost is reserved before it is sent."""

    def __init__(self, limit: float | None, spent: float) -> None:
        self.limit, self.spent, self.reserved = limit, spent, []
        self._changed = threading.Condition()

    def reserve(self, most: float) -> None:
        """Take so many dollars; wait for requests that are on their way, which may need less than they took.
        Raises `BudgetError` where the money does not suffice."""
        with self._changed:
            while self.limit is not None and self.spent + sum(self.reserved) + most > self.limit:
                if not self.reserved:
                    left = f"of ${self.limit:g}, ${self.spent:.6f} are spent"
                    raise BudgetError(f"{left}, and the next request can cost ${most:.6f}")
                self._changed.wait()
            self.reserved.append(most)

    def settle(self, most: float, paid: float) -> None:
        """Replace a reservation by what was paid."""
        with self._changed:
            self.reserved.remove(most)
            self.spent += paid
            self._changed.notify_all()


def dollars(prices: Prices | None, read: int, written: int) -> float:
    """The price of so many tokens; 0 without prices."""
    return (prices.read * read + prices.written * written) / 1e6 if prices else 0.0
