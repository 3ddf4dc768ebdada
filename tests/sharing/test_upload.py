"""Upload of models: to a private repository, and never of a private corpus."""

import base64
import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ner_utils import config, paths
from ner_utils.config import ConfigError
from ner_utils.sharing import model_folder


class Hub(BaseHTTPRequestHandler):
    """What the hub's interface for uploads does with small files: it takes them into a commit."""

    asked, files, private = [], {}, True

    def do_GET(self):
        self.answer({"id": "me/tagger", "private": self.private})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append((self.path, self.headers["Authorization"], body))
        reply = {"url": "https://huggingface.co/me/tagger"}
        if "/preupload/" in self.path:
            names = [file["path"] for file in json.loads(body)["files"]]
            reply = {"files": [{"path": p, "uploadMode": "regular", "shouldIgnore": False} for p in names]}
        elif "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            reply = {
                "commitUrl": "https://huggingface.co/me/tagger/commit/0",
                "commitOid": "0",
                "success": True,
            }
        elif "validate-yaml" in self.path:
            reply = {"errors": [], "warnings": []}
        elif not self.path.startswith("/api/repos/create"):
            self.send_error(404)
            return
        self.answer(reply)

    def answer(self, reply):
        text = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


PUSH = """
import sys
from pathlib import Path
from ner_utils import config
from ner_utils.sharing import model_folder
print(model_folder.push(Path(sys.argv[1]), "me/tagger", config.load_run("first-look", "demo", "minilm", 1)))
"""


@pytest.fixture
def push(tmp_path):
    """Uploads a folder to `Hub` in another process, which it returns."""
    (tmp_path / "README.md").write_text("---\nlanguage: en\n---\nhello")
    (tmp_path / "model.safetensors").write_bytes(b"123")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_TOKEN": "hf_secret"}

    def start(code=PUSH):
        command = [sys.executable, "-c", code, str(tmp_path)]
        return subprocess.run(
            command, env=os.environ | address, capture_output=True, text=True, cwd=paths.ROOT
        )

    yield start
    server.shutdown()
    server.server_close()


def test_a_folder_is_uploaded_to_a_private_repository(push):
    done = push()
    assert done.returncode == 0, done.stderr
    assert Hub.files["model.safetensors"] == b"123" and b"hello" in Hub.files["README.md"]
    (created,) = [json.loads(body) for path, _, body in Hub.asked if path.startswith("/api/repos/create")]
    assert created["visibility"] == "private" and created["name"] == "tagger"
    assert all(key == "Bearer hf_secret" for _, key, _ in Hub.asked)


def test_a_model_of_a_private_corpus_is_not_uploaded(tmp_path):
    run = config.load_run("first-look", "demo", "minilm", 1)
    private = run.model_copy(update={"dataset": run.dataset.model_copy(update={"private": True})})
    with pytest.raises(ConfigError, match="demo is private.*nothing was uploaded"):
        model_folder.push(tmp_path, "me/tagger", private)


@pytest.mark.parametrize(
    ("name", "private", "message"),
    [
        ("me/tagger", False, "me/tagger is public, and only private repositories are written"),
        ("me/my/tagger", True, "me/my/tagger: .*'me/my/tagger'"),
    ],
)
def test_a_repository_that_is_not_written(push, monkeypatch, name, private, message):
    monkeypatch.setattr(Hub, "private", private)
    monkeypatch.setattr(Hub, "files", {})
    done = push(PUSH.replace("me/tagger", name))
    assert done.returncode == 1 and not Hub.files
    last = done.stderr.splitlines()[-1]
    assert re.search(f"ConfigError: {message}", last) and "nothing was uploaded; the folder is" in last


def test_a_hub_that_does_not_answer(push, monkeypatch):
    done = push("import os; os.environ['HF_ENDPOINT'] = 'http://127.0.0.1:9'\n" + PUSH)
    assert "ConfigError: me/tagger: " in done.stderr and "nothing was uploaded" in done.stderr
