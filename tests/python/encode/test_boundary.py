"""What programs do to an encoder: interrupt it, fork it, pickle it, call it from everywhere."""

import copy
import itertools
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from magnetite import FormatError
from magnetite.encode import Encoder

TEXTS = ["iron", "the magnet of iron", "x" * 40, "", "magnetic " * 9] * 4

# CPython 3.12 warns of any fork in a process with threads; that it works is what is tested.
forks = pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")


@pytest.fixture(scope="module", params=["tiny_artifact", "tiny_static_artifact"])
def directory(request) -> Path:
    return request.getfixturevalue(request.param)


def test_eight_threads_at_once_get_what_one_gets(directory):
    encoder = Encoder.load(directory, threads=2)
    wanted = encoder.encode(TEXTS)
    with ThreadPoolExecutor(8) as pool:
        for got in pool.map(lambda _: encoder.encode(TEXTS, batch_tokens=64), range(64)):
            np.testing.assert_allclose(got, wanted, atol=1e-6)


@forks
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_encodes_and_exits(directory):
    encoder = Encoder.load(directory, threads=2)
    wanted = encoder.encode(TEXTS)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for got in pool.map_async(encoder.encode, [TEXTS] * 4).get(timeout=60):
            np.testing.assert_allclose(got, wanted, atol=1e-6)
    np.testing.assert_allclose(encoder.encode(TEXTS), wanted, atol=1e-6)


FORK_AND_LEAVE = """
import os, sys
from magnetite.encode import Encoder
encoder = Encoder.load(sys.argv[1], threads=2)
encoder.encode("iron")
child = os.fork()
if child == 0 and sys.argv[2] == "use":
    encoder.encode(["iron"] * 10)
if child:
    _, status = os.waitpid(child, 0)
    sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("does", ["use", "nothing"])
def test_a_forked_child_leaves_by_the_ordinary_door(directory, does):
    """Taking down the parent's session would wait for threads that the child does not have."""
    done = subprocess.run([sys.executable, "-c", FORK_AND_LEAVE, directory, does], timeout=60)
    assert done.returncode == 0


def test_a_pickled_encoder_opens_its_directory_again(directory):
    encoder = Encoder.load(directory, threads=1)
    for again in (pickle.loads(pickle.dumps(encoder)), copy.deepcopy(encoder)):
        assert (again.threads, again.fingerprint) == (1, encoder.fingerprint)
        np.testing.assert_allclose(again.encode(TEXTS), encoder.encode(TEXTS), atol=1e-6)


def test_a_spawned_process_takes_an_encoder(directory):
    encoder = Encoder.load(directory, threads=1)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        got = pool.apply_async(encoder.encode, (TEXTS,)).get(timeout=120)
    np.testing.assert_allclose(got, encoder.encode(TEXTS), atol=1e-6)


def test_a_pickle_refuses_another_encoder_in_its_place(
    tiny_artifact, tiny_static_artifact, tmp_path
):
    shutil.copytree(tiny_artifact, tmp_path / "here")
    pickled = pickle.dumps(Encoder.load(tmp_path / "here"))
    shutil.rmtree(tmp_path / "here")
    shutil.copytree(tiny_static_artifact, tmp_path / "here")
    with pytest.raises(FormatError, match="which was pickled"):
        pickle.loads(pickled)


INTERRUPTED = """
import sys, time
from magnetite.encode import Encoder
encoder = Encoder.load(sys.argv[1], threads=2)
texts = ["the magnet of iron " * 3] * 2_000_000
print("ready", flush=True)
try:
    for _ in range(20):  # a fast machine may end the first before it is interrupted
        encoder.encode(texts[: int(sys.argv[2])])
except KeyboardInterrupt:
    print(time.time(), flush=True)
    encoder.encode("iron")  # still works
else:
    print("was not interrupted")
"""


@pytest.mark.parametrize(
    ("engine", "texts"), [("tiny_artifact", 200_000), ("tiny_static_artifact", 2_000_000)]
)
@pytest.mark.parametrize("after_s", [0.05, 1.0])
def test_ctrl_c_returns_at_once(request, engine, texts, after_s, prompt_s):
    """While tokens are made and while vectors are; the machine's load is why three may try."""
    directory = request.getfixturevalue(engine)
    delays = []
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", INTERRUPTED, directory, str(texts)],
            stdout=subprocess.PIPE,
            text=True,
        )
        with child:
            assert child.stdout.readline() == "ready\n"
            time.sleep(after_s)
            child.send_signal(signal.SIGINT)
            sent = time.time()
            delays.append(float(child.stdout.readline()) - sent)
        assert child.returncode == 0
        if delays[-1] <= prompt_s:
            return
    pytest.fail(f"Ctrl-C took {delays} s")


def interrupted_at(step, work):
    """Do `work` with a Ctrl-C before that step of the interpreter in what waits for the threads."""
    left = step

    def trace(frame, event, _):
        nonlocal left
        if not frame.f_code.co_filename.endswith("encode/session.py"):
            return None
        frame.f_trace_opcodes = True
        left -= event == "opcode"
        if left == 0:
            sys.settrace(None)
            raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        work()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False


def test_ctrl_c_at_any_step_leaves_no_thread_behind(tiny_artifact):
    encoder = Encoder.load(tiny_artifact, threads=2)
    texts = TEXTS * 200
    encoder.encode(texts)
    every = 1 if "MAGNETITE_TEST_FULL" in os.environ else 41
    for step in itertools.count(1, every):
        if not interrupted_at(step, lambda: encoder.encode(texts)):
            break
        end = time.monotonic() + 20
        while any(thread.name == "magnetite-encode" for thread in threading.enumerate()):
            assert time.monotonic() < end, f"after a Ctrl-C at step {step}"
            time.sleep(0.001)
    assert step > 100


def test_an_encoder_of_another_thread_stops_at_its_own_pace(tiny_artifact):
    """Signals reach the main thread only; a call from elsewhere runs on its own thread."""
    encoder = Encoder.load(tiny_artifact)
    names = []
    worker = threading.Thread(target=lambda: names.append(encoder.encode(TEXTS).shape))
    worker.start()
    worker.join()
    assert names == [(len(TEXTS), encoder.dim)]
