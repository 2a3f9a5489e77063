"""Real servers in processes of their own, on any free port."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from magnetite import Collection, Document, Encoder

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")

GOLDEN = Path(__file__).parents[2] / "golden" / "artifact-v1" / "onnx"


class Server:
    """A server and the plainest of clients."""

    def __init__(self, *words: object, **environment: str) -> None:
        command = [sys.executable, "-m", "magnetite.cli", "serve", *map(str, words), "--port", "0"]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"MAGNETITE_NUM_THREADS": "2"} | environment,
        )
        said = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", said)
        assert found, said + self.process.communicate()[1]
        self.port = int(found[1])
        self.url = found[0]

    def call(self, method, path, body=None, headers=None):
        """Return status, headers and the body, as JSON where it is that."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            if body is not None and not isinstance(body, bytes):
                body = json.dumps(body).encode()
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if "json" in answer.headers.get("content-type", ""):
            content = json.loads(content)
        return answer.status, answer.headers, content

    def post(self, path, body, headers=None):
        """Return status and body of a POST."""
        status, _, content = self.call("POST", path, body, headers)
        return status, content

    def stop(self) -> int:
        """Return the exit status after SIGTERM."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        finally:
            self.process.kill()
            self.process.communicate()
        return self.process.returncode


@pytest.fixture(scope="session")
def golden() -> Path:
    """An ONNX artifact of 16 dimensions and 48 tokens."""
    return GOLDEN


@pytest.fixture
def serve():
    """Start a server; it is stopped when the test ends."""
    started = []

    def start(*words, **environment):
        started.append(Server(*words, **environment))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def server():
    """A server of the golden ONNX artifact that many tests share; it must outlive them all."""
    one = Server(GOLDEN, "--name", "golden", "--dimensions", "8")
    yield one
    assert one.stop() == 0


@pytest.fixture(scope="session")
def offline() -> Encoder:
    """The encoder that `server` serves."""
    return Encoder.load(GOLDEN, threads=1)


DOCUMENTS = [
    Document("sea", "Waves and tides move salt water along the coast.", "The sea"),
    Document("iron", "An iron oxide that attracts and repels.", "Magnetite", {"kind": "nature"}),
    Document("bread", "Flour, water, salt, yeast.", "Bread", {"kind": "food", "year": 1987}),
    Document("moon", "It pulls at the oceans.", "The Moon", {"kind": "nature", "year": 2001}),
    Document(
        "markup", "<b>tides</b> <img src=x onerror=\"document.title='taken'\">", "<i>tides</i>"
    ),
]


@pytest.fixture(scope="session")
def collections(tmp_path_factory) -> list[Path]:
    """The same documents by two encoders."""
    folder = tmp_path_factory.mktemp("collections")
    for name, encoder in (("one", Encoder.load()), ("two", Encoder.load(GOLDEN))):
        with Collection.create(folder / name, encoder) as collection:
            collection.add(DOCUMENTS)
    return [folder / "one", folder / "two"]


@pytest.fixture(scope="session")
def cross(tiny_tower, tmp_path_factory) -> Path:
    """A sealed cross-encoder of 24 tokens with random weights."""
    from magnetite.learn.encoders import CrossEncoder
    from magnetite.learn.export import export

    made = CrossEncoder.over(tiny_tower, ["[Q]", "[D]"]).eval()
    made.max_tokens = 24
    out = tmp_path_factory.mktemp("cross") / "judge"
    export(made, out)
    return out


@pytest.fixture(scope="session")
def searching(collections, cross):
    """A server of both collections, by the encoder of the first, and of a cross-encoder."""
    one = Server(*collections, cross)
    yield one
    assert one.stop() == 0
