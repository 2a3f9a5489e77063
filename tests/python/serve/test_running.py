"""A server as its operator sees it: start, key, limits, stop."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import pytest

LONG = {"input": ["magnet " * 40] * 2000}


def magnetite(*words):
    command = [sys.executable, "-m", "magnetite.cli", "serve", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_key_is_asked_for_wherever_there_is_something_to_have(serve, golden):
    server = serve(golden, MAGNETITE_API_KEY="sesame")
    for path in ("/v1/embeddings", "/embed", "/rerank"):
        assert server.post(path, {"input": "x", "inputs": "x"})[0] == 401
    for path in ("/v1/models", "/info", "/metrics", "/openapi.json", "/nothing"):
        assert server.call("GET", path)[0] == 401
    assert server.call("GET", "/health")[0] == 200
    asked = {"input": "x"}
    for wrong in ("Bearer sesam", "Bearer sesamee", "Bearer", "sesame", "Basic sesame", "Bearer é"):
        headers = {"authorization": wrong.encode()}
        status, headers, said = server.call("POST", "/v1/embeddings", asked, headers)
        assert (status, headers["www-authenticate"]) == (401, "Bearer")
        assert said["error"]["code"] == "invalid_api_key"
    right = {"authorization": "Bearer sesame"}
    assert server.post("/v1/embeddings", asked, right)[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", ""]
)
def test_without_a_key_it_answers_to_localhost_alone(server, host):
    for path in ("/", "/info", "/health"):
        status, _, said = server.call("GET", path, headers={"host": host})
        assert (status, said["error"]["code"]) == (403, "not_local")
    for own in (
        "localhost",
        f"localhost:{server.port}",
        f"127.0.0.1:{server.port}",
        "[::1]:80",
        "[::1]",
    ):
        assert server.call("GET", "/info", headers={"host": own})[0] == 200


def test_with_a_key_it_answers_to_any_name(serve, golden):
    server = serve(golden, "--api-key", "sesame")
    headers = {"host": "search.example", "authorization": "Bearer sesame"}
    assert server.call("GET", "/info", headers=headers)[0] == 200


def test_a_full_server_says_when_to_come_back(serve, golden):
    server = serve(golden, "--max-tokens", 2000)
    status, said = server.post("/v1/embeddings", {"input": ["magnet " * 40] * 100})
    assert (status, said["error"]["code"]) == (413, "too_many_tokens")
    asked = {"input": ["magnet " * 40] * 40}
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: server.call("POST", "/v1/embeddings", asked), range(200)))
    assert {status for status, _, _ in answers} == {200, 429}
    headers = next(headers for status, headers, _ in answers if status == 429)
    assert 1 <= int(headers["retry-after"]) <= 60
    assert 0 < int(headers["retry-after-ms"]) <= 60_000
    assert server.post("/v1/embeddings", asked)[0] == 200


def test_sigterm_lets_accepted_work_finish(serve, golden):
    server = serve(golden)
    body = json.dumps(LONG).encode()
    line = partial(http.client.HTTPConnection, "127.0.0.1", server.port, timeout=60)
    with closing(line()) as idle, closing(line()) as busy:
        idle.request("GET", "/health")
        idle.getresponse().read()
        busy.request("POST", "/v1/embeddings", body)
        time.sleep(0.2)  # until it has been accepted; if not, the test would fail, not pass
        server.process.send_signal(signal.SIGTERM)
        answer = busy.getresponse()
        assert (answer.status, len(json.loads(answer.read())["data"])) == (200, 2000)
    assert server.process.wait(30) == 0
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", server.port)) != 0


def test_ctrl_c_on_an_idle_server_is_no_error(serve, golden):
    server = serve(golden)
    server.process.send_signal(signal.SIGINT)
    _, errors = server.process.communicate(timeout=30)
    assert (server.process.returncode, errors) == (0, "")


def test_a_taken_port_is_named(golden):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = magnetite(golden, "--port", port)
    assert done.returncode == 1
    assert f"127.0.0.1 port {port}: Address already in use" in done.stderr
    assert "give --port another" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_extra_it_is_named():
    script = (
        "import sys; sys.modules['fastapi'] = None; import magnetite.serve\n"
        "from magnetite.cli import main; main(['serve'])"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert 'pip install "magnetite[serve]"' in done.stderr


def test_what_cannot_be_served_is_named(golden, tmp_path):
    assert "does not exist" in magnetite(tmp_path / "absent").stderr
    shutil.copytree(golden, tmp_path / "mine")
    os.truncate(tmp_path / "mine" / "model.onnx", 100)
    done = magnetite(tmp_path / "mine", "--port", 0)
    assert "model.onnx is truncated" in done.stderr
    assert "from 1 to the encoder's 16" in magnetite(golden, "--dimensions", 99).stderr
