"""The server is what its OpenAPI says, under a barrage of what its OpenAPI allows, and does not."""

import subprocess
import sys
from pathlib import Path


def test_schemathesis_finds_no_500(searching, tmp_path):
    program = Path(sys.executable).with_name("schemathesis")
    command = [program, "run", f"{searching.url}/openapi.json"]
    checks = "not_a_server_error,status_code_conformance,content_type_conformance"
    options = ["--checks", f"{checks},response_schema_conformance", "--max-examples", "25"]
    options += ["--seed", "1", "--generation-database", "none", "--no-color"]
    options += ["--phases", "examples,coverage,fuzzing", "--request-timeout", "30"]
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, cwd=tmp_path, timeout=240
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert searching.post("/search", {"query": "after that"})[0] == 200
