"""What every verb shares: help, errors, exit codes, interruption."""

import os
import signal
import subprocess
import sys
import time

import click
import pytest

from magnetite.cli import _VERBS, main

HEAVY = "{'torch', 'onnxruntime', 'numpy', 'transformers', 'matplotlib', 'tokenizers'}"


def imported(*words):
    """Which heavy packages a call imports."""
    script = (
        "import sys\nfrom magnetite.cli import main\n"
        f"try: main({list(words)!r})\nexcept SystemExit: pass\n"
        f"print('HEAVY', sorted({HEAVY} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    return said.stdout.rpartition("HEAVY ")[2].strip()


def test_help_names_every_verb_and_imports_nothing_heavy():
    assert imported("--help") == "[]"


@pytest.mark.parametrize("verb", _VERBS)
def test_a_verbs_help_shows_an_example_and_imports_no_torch(verb, call):
    said = call(verb, "--help").output
    assert f"magnetite {verb}" in said.partition("Examples:")[2]
    assert "torch" not in imported(verb, "--help")


def test_an_unknown_verb_is_a_usage_error_that_names_the_verbs(call):
    said = call("serach", code=2).output
    assert "no verb 'serach'; there are train, export" in said


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("k must be at least 1"), "Error: k must be at least 1"),
        (FileNotFoundError(2, "No such file or directory", "x"), "Error: x: No such file"),
        (ImportError("needs torch"), "Error: needs torch"),
    ],
)
def test_what_a_user_can_mend_is_one_line_and_exit_code_1(monkeypatch, call, error, line):
    def fails(**_):
        raise error

    monkeypatch.setattr("magnetite.cli.verify.command", click.Command("verify", callback=fails))
    said = call("verify", code=1)
    assert said.output.startswith(line)
    assert "Traceback" not in said.output
    assert call("--traceback", "verify", code=1).exc_info[0] is type(error)


def test_a_bug_is_not_dressed_up_as_the_users_mistake(monkeypatch, call):
    def fails(**_):
        raise KeyError("surprise")

    monkeypatch.setattr("magnetite.cli.verify.command", click.Command("verify", callback=fails))
    assert call("verify", code=1).exc_info[0] is KeyError


def test_an_interruption_ends_with_130_and_one_word(monkeypatch, call):
    def stopped(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr("magnetite.cli.verify.command", click.Command("verify", callback=stopped))
    assert call("verify", code=130).output == "Interrupted.\n"


def test_the_version_is_the_packages(call):
    assert call("--version").output.startswith("magnetite 0.")


def test_the_group_is_what_the_installed_command_calls():
    assert isinstance(main, click.Group)


def test_ctrl_c_during_encode_leaves_a_run_that_goes_on(tmp_path, shell):
    texts = tmp_path / "texts.txt"
    texts.write_text("".join(f"a sentence about thing number {i}\n" for i in range(400_000)))
    out = tmp_path / "x.npy"
    command = [sys.executable, "-m", "magnetite.cli", "encode", str(texts), "-o", str(out)]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_for_blocks(tmp_path / "x.npy.parts" / "parts.journal", 2, running)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=30)
    assert running.returncode == 130
    assert "Traceback" not in said
    assert not out.exists()


def wait_for_blocks(journal, blocks, running):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and running.poll() is None:
        if journal.exists() and journal.read_bytes().count(b"\n") > blocks:
            return
        time.sleep(0.005)
    pytest.fail(f"no {blocks} blocks within a minute; ended with {running.poll()}")


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "magnetite.cli", "--help"]
    said = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert "Traceback" not in said.stderr
