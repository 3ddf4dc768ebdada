"""How is a model served on this machine, where no server is at hand? ``transformers serve`` does it, in a
process that ends with the one that started it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

from ner_utils.config.load import load_model
from ner_utils.config.strict_yaml import ConfigError
from ner_utils.models import weights
from ner_utils.processes import end_with

STARTUP_SECONDS = 600  # until a server must be up


@contextlib.contextmanager
def serving(name: str) -> Iterator[tuple[str, str]]:
    """Serve a model of params/models with ``transformers serve`` on a free port of this machine; gives the
    address and the server's name for the model. Raises `ConfigError` where it does not start."""
    folder = weights.resolve(load_model(name).weights)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", __name__, folder, str(port), str(os.getpid())]
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait(server, f"http://127.0.0.1:{port}/health", log, name)
            yield f"http://127.0.0.1:{port}/v1", folder
        finally:
            server.terminate()
            server.wait()


def _wait(server: subprocess.Popen, address: str, log, name: str) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(urllib.error.URLError, OSError):
            direct.open(address, timeout=5).close()
            return
        time.sleep(0.5)
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines() or ["nothing was printed"]
    raise ConfigError(f"server.serves: {name} could not be served: {lines[-1]}")


def main() -> None:
    """Serve a folder's model on a port, until the process with the given id ends."""
    from transformers.cli.serve import Serve  # late: it takes seconds to import

    folder, port, parent = sys.argv[1:]
    end_with([int(parent)])
    Serve(folder, host="127.0.0.1", port=int(port), reasoning="off")


if __name__ == "__main__":
    main()
