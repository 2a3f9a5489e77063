"""Whatever a client sends: the right refusal, and the server answers the next one."""

import json
import socket
import time

import pytest

WRONG_BODIES = [
    (b"", 400, "not JSON"),
    (b"{", 400, "not JSON"),
    (b"\xff\xfe{}", 400, "not JSON in UTF-8"),
    (b'{"input": "\xc3\x28"}', 400, "not JSON in UTF-8"),
    (b'{"input": "\\ud800"}', 400, "not JSON"),
    (b'{"input": NaN}', 400, "input must be"),
    (b'{"input": [1, NaN]}', 400, "input must be"),
    (b'{"input": "x", "dimensions": NaN}', 400, "dimensions"),
    (b'{"input": "x", "dimensions": 1e400}', 400, "dimensions"),
    (b"[" * 100_000, 400, "not JSON"),
    (b'{"input": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400, "not JSON"),
    (b'{"input": ' + b'{"a":' * 150 + b"1" + b"}" * 150 + b"}", 400, "input must be"),
    (b"[]", 400, "the body"),
    (b"null", 400, "the body"),
    (b'"input"', 400, "the body"),
    ({}, 400, "'input' is missing"),
    ({"inptu": "x"}, 400, "unknown field 'inptu'"),
    ({"input": "x", "dimension": 8}, 400, "unknown field 'dimension'"),
    ({"input": None}, 400, "input must be"),
    ({"input": 7}, 400, "input must be"),
    ({"input": True}, 400, "input must be"),
    ({"input": []}, 400, "input must be"),
    ({"input": [[]]}, 400, "input must be"),
    ({"input": ["x", 1]}, 400, "input must be"),
    ({"input": [1, "x"]}, 400, "input must be"),
    ({"input": [True]}, 400, "input must be"),
    ({"input": [1.0]}, 400, "input must be"),
    ({"input": [-1]}, 400, "input must be"),
    ({"input": [2**31]}, 400, "input must be"),
    ({"input": [10**40]}, 400, "input must be"),
    ({"input": [208]}, 400, "not in this encoder's vocabulary of 208"),
    ({"input": [[1, 2], [99999]]}, 400, "not in this encoder's vocabulary"),
    ({"input": [1] * 49}, 400, "takes 48"),
    ({"input": {"text": "x"}}, 400, "input must be"),
    ({"input": "x", "model": 7}, 400, "model"),
    ({"input": "x", "model": "gpt"}, 404, "not served here"),
    ({"input": "x", "encoding_format": "hex"}, 400, "encoding_format"),
    ({"input": "x", "dimensions": 0}, 400, "dimensions"),
    ({"input": "x", "dimensions": -8}, 400, "dimensions"),
    ({"input": "x", "dimensions": "8"}, 400, "dimensions"),
    ({"input": "x", "dimensions": 9}, 400, "dimensions"),
    ({"input": [1, 2], "prompt_name": "query"}, 400, "prompt"),
    ({"input": ["x"] * 2049}, 413, "2049 texts"),
]


@pytest.fixture(autouse=True)
def still_answers(server):
    yield
    status, said = server.post("/v1/embeddings", {"input": "after that"})
    assert status == 200
    assert len(said["data"]) == 1


@pytest.mark.parametrize(
    ("body", "status", "said"),
    WRONG_BODIES,
    ids=lambda value: str(value)[:30],
)
def test_a_wrong_body_is_refused(server, body, status, said):
    got, answer = server.post("/v1/embeddings", body)
    assert got == status
    assert said in answer["error"]["message"]


def test_odd_text_is_text(server):
    odd = ["\x00", "\u202e", "🧲" * 3000, "a" * 300_000, " \n\t ", "é"]
    assert server.post("/v1/embeddings", {"input": odd})[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/embeddings", 405),
        ("DELETE", "/v1/embeddings", 405),
        ("POST", "/health", 405),
        ("GET", "/nothing/here", 404),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404),
        ("BREW", "/health", 400),
    ],
)
def test_a_wrong_route_is_refused(server, method, path, status):
    assert server.call(method, path)[0] == status


def speak(server, *blocks, pause_s=0.0, most=1 << 20):
    """Send raw bytes and return what comes until the server closes, or has said all."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as line:
        for block in blocks:
            line.sendall(block)
            time.sleep(pause_s)
        said = b""
        while b"\r\n\r\n" not in said and (more := line.recv(65536)):
            said += more
        return said


HEAD = b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\n"


def test_a_huge_body_is_refused_by_its_header(server):
    said = speak(server, HEAD + b"Content-Length: 100000000000\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 413")


def test_a_huge_body_without_a_length_is_refused_when_it_is_too_long(server):
    block = b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"
    said = speak(server, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[block] * 17)
    assert said.startswith(b"HTTP/1.1 413")


def test_a_client_that_is_refused_may_finish_sending_and_reads_why(server):
    status, said = server.post("/v1/embeddings", b"x" * (17 << 20))
    assert status == 413
    assert "16777216 bytes" in said["error"]["message"]


@pytest.mark.parametrize(
    "bytes_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS to a plain port
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=repr,
)
def test_what_is_no_http_is_refused(server, bytes_):
    said = speak(server, bytes_)
    assert said.startswith(b"HTTP/1.1 400") or said == b""


def test_headers_without_end_are_cut_off(server):
    try:
        said = speak(server, b"GET /health HTTP/1.1\r\n", b"X: " + b"x" * (8 << 20))
    except OSError:  # reset or broken pipe, as the kernel has it
        said = b""
    assert said == b""


def test_slow_clients_hold_nobody_up(server):
    lines = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(50)]
    try:
        for number, line in enumerate(lines):
            body = b'{"input": "'
            line.sendall(
                HEAD + b"Content-Length: 100\r\n\r\n" + body if number % 2 else b"POST /v1/emb"
            )
        for _ in range(5):
            assert server.post("/v1/embeddings", {"input": "quick"})[0] == 200
    finally:
        for line in lines:
            line.close()


def test_a_client_that_leaves_is_forgotten(server):
    body = json.dumps({"input": ["magnet " * 40] * 2000}).encode()
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server.port)) as line:
            line.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        figures = server.call("GET", "/metrics")[2].decode()
        if '\nmagnetite_waiting_tokens{model="golden"} 0.0' in figures:
            return
        time.sleep(0.05)
    raise AssertionError("tokens of clients that left are still waiting")
