"""A server for tests: it answers by itself or passes requests on, and can fail as real ones do."""

import contextlib
import json
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Answering:
    """Answers every request with ``answer``, or with what the server at ``upstream`` says.

    ``faults`` are taken in order, one a request: a status, or the body that is sent in place of an answer;
    None is no fault. ``asked`` has the bodies of all requests, ``together`` the most at the same time.
    """

    def __init__(self, answer="[]", upstream=None, faults=(), headers=None, seconds=0.0):
        self.answer, self.upstream, self.faults = answer, upstream, list(faults)
        self.headers, self.seconds = headers or {}, seconds
        self.asked, self.keys, self.together, self.now = [], [], 0, 0
        self.lock = threading.Lock()

    def reply(self, body):
        """Status and body."""
        with self.lock:
            self.asked.append(json.loads(body))
            fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, int):
            return fault, json.dumps({"error": {"message": f"fault {fault}"}}).encode()
        if fault is not None:
            return 200, fault.encode()
        if self.upstream:
            headers = {"Content-Type": "application/json"}
            request = urllib.request.Request(f"{self.upstream}/chat/completions", body, headers)
            with urllib.request.urlopen(request) as reply:
                return 200, reply.read()
        time.sleep(self.seconds)
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": self.answer},
            "finish_reason": "stop",
        }
        whole = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
        return 200, json.dumps(whole | {"usage": usage}).encode()


@contextlib.contextmanager
def answering(**keys):
    """An `Answering` on a free port of this machine, with its ``url``."""
    state = Answering(**keys)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send(200, b'{"object": "list", "data": [{"id": "m", "object": "model"}]}')

        def do_POST(self):
            with state.lock:
                state.now += 1
                state.together = max(state.together, state.now)
                state.keys.append(self.headers["Authorization"])
            status, body = state.reply(self.rfile.read(int(self.headers["Content-Length"])))
            with state.lock:
                state.now -= 1
            self.send(status, body)

        def send(self, status, body):
            self.send_response(status)
            for name, value in ({"Content-Type": "application/json"} | state.headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(BrokenPipeError):
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
