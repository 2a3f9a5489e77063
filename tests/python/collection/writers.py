"""Writers in processes of their own, forked from one that has the encoder: to be killed or stopped.

Each line on standard input is a JSON object: `role` names a function here, the rest are its
arguments. Lines of JSON come back: the child's `pid`, its `answer` if it lives to give one, and how
it ended as `code`, last.
"""

import faulthandler
import json
import os
import random
import resource
import signal
import sys
import threading
import traceback
from pathlib import Path

from tqdm import tqdm

from magnetite.encode import Encoder
from magnetite.index import Collection, Document
from magnetite.index.collection import writer

_WORDS = "iron salt bread tide moon copper river yeast magnet oven coast ore wave flour"
WORDS = _WORDS.split()
STEPS = 16
BLOCK = 4
_encoders = {}


def encoder():
    if not _encoders:
        _encoders[0] = Encoder.load(threads=1)
        _encoders[0].encode("iron")
    return _encoders[0]


def history(seed):
    """Yield what a writer does, and the documents after each of its commits, by id."""
    rng = random.Random(seed)
    held = {}
    for _ in range(STEPS):
        step = rng.choice(["upsert", "upsert", "upsert", "delete", "where", "compact"])
        if step == "upsert":
            some = [_document(rng) for _ in range(rng.randrange(1, 3 * BLOCK))]
            states = []
            for block in _blocks(some):
                if any(held.get(one.id) != one for one in block):
                    held = held | {one.id: one for one in block}
                    states.append(held)
            yield (step, some), states or [held]
        elif step == "delete":
            gone = [f"d{rng.randrange(20)}" for _ in range(rng.randrange(4))]
            held = {name: one for name, one in held.items() if name not in gone}
            yield (step, gone), [held]
        elif step == "where":
            n = rng.randrange(5)
            held = {name: one for name, one in held.items() if one.metadata.get("n") != n}
            yield (step, n), [held]
        else:
            yield (step, None), [held]


def _blocks(documents):
    """The blocks of an upsert, each a commit; a slow twin of `writer.blocks`."""
    blocks = [[]]
    for one in documents:
        if len(blocks[-1]) == BLOCK or any(one.id == other.id for other in blocks[-1]):
            blocks.append([])
        blocks[-1].append(one)
    return blocks


def _document(rng):
    text = " ".join(rng.choices(WORDS, k=rng.randrange(6)))
    return Document(f"d{rng.randrange(20)}", text, metadata={"n": rng.randrange(5), "t": [text]})


def apply(collection, step, what):
    if step == "upsert":
        collection.upsert(what)
    elif step == "delete":
        collection.delete(what)
    elif step == "where":
        collection.delete(where={"n": what})
    else:
        collection.compact()


# Roles


def write(path, acknowledged, seed, dies_at=None):
    """Make a history, noting each step that returned; die at the given event of the interpreter."""
    writer.BLOCK = BLOCK
    events = 0

    def count(*_):
        nonlocal events
        events += 1
        if events == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)

    with Path(acknowledged).open("w") as out:
        sys.setprofile(count)
        collection = Collection.create(path, encoder(), threads=1)
        out.write(".")
        out.flush()
        for (step, what), _ in history(seed):
            apply(collection, step, what)
            out.write(".")
            out.flush()
        sys.setprofile(None)
        out.write(f" {events}")


def versions(path, acknowledged, stop):
    """Give every document a new version, all in one commit, until `stop` is there."""
    with Collection.open(path, encoder(), threads=1) as collection:
        version = 0
        while not Path(stop).exists():
            version += 1
            collection.upsert([versioned(i, version) for i in range(12)])
            if version % 7 == 0:
                collection.compact()
            passing = Path(acknowledged).with_suffix(".tmp")
            passing.write_text(str(version))
            passing.replace(acknowledged)  # a reader of "9" and then of "10" could see "90"


def versioned(i, version):
    words = [WORDS[(i + version * step) % len(WORDS)] for step in (1, 3, 5)]
    return Document(f"d{i}", " ".join(words), metadata={"version": version})


def full(path, bytes):  # noqa: A002 - what setrlimit calls it
    """Write into a file system where no file may be longer than `bytes`."""
    with Collection.open(path, encoder(), threads=1) as collection:
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes, resource.RLIM_INFINITY))
        try:
            collection.upsert([Document(f"new{i}", f"text {i} " * 200) for i in range(2000)])
        except OSError as error:
            resource.setrlimit(
                resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            )
            return str(error), collection.upsert([Document("last", "iron")]).added
    return "nothing was refused", 0


def unprivileged(path):
    """Read and write in a directory that belongs to somebody else."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    with Collection.open(path, encoder(), threads=1) as collection:
        found = [one.document.id for one in collection.search("iron", 3)]
        try:
            collection.upsert([Document("new", "x")])
        except OSError as error:
            return found, str(error)
    return found, "nothing was refused"


def locks(path):
    """Try to write while the parent does."""
    with Collection.open(path, encoder(), threads=1) as collection:
        try:
            collection.upsert([Document("new", "x")])
        except OSError as error:
            return str(error), len(collection.search("iron", 3))
    return "nothing was refused", 0


def say(**what):
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main():
    tqdm.set_lock(threading.RLock())  # its own is shared with children, which die holding it
    encoder()
    for line in sys.stdin:
        arguments = json.loads(line)
        role = globals()[arguments.pop("role")]
        pid = os.fork()
        if pid == 0:
            faulthandler.dump_traceback_later(250, exit=True)
            try:
                say(answer=role(**arguments))
                os._exit(0)
            except BaseException:
                say(answer=traceback.format_exc())
                os._exit(1)
        say(pid=pid)
        _, status = os.waitpid(pid, 0)
        say(code=os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
