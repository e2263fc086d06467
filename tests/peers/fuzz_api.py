"""schemathesis from PyPI against /openapi.json: fuzz_api.py BASE ADMIN_KEY. The key is of a tenant that
nobody else uses, because whatever can be deleted will be. No answer may be a server's error, or of a status, a
content type or a form that the description does not name."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from checks import check, end, must

base, key = sys.argv[1:3]
# Streams, pages and doors with a protocol of their own have tests of their own.
ELSEWHERE = "^/(ws|mcp|webhooks|console|widget|api/v1/chat|api/v1/trials$|v1/chat)"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@check("every operation answers generated requests as it is described")
def _():
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{base}/openapi.json"]
    options = {
        "--header": f"Authorization: Bearer {key}",
        "--phases": "coverage,fuzzing",
        "--seed": "7",
        "--checks": CHECKS,
        "--exclude-path-regex": ELSEWHERE,
        "--request-timeout": "20",
        "--warnings": "off",
    }
    arguments = [part for option in options.items() for part in option]
    for seconds in (30, 180):  # a busy machine, which makes few in the one, gets the other
        with tempfile.TemporaryDirectory() as notes:  # it keeps its own where it is started
            ran = subprocess.run([*command, *arguments, "--max-time", str(seconds), "--no-color"], capture_output=True, text=True, timeout=seconds + 120, cwd=notes)
        must(ran.returncode == 0, ran.stdout[ran.stdout.find("= FAILURES ="):] or ran.stderr[-600:])
        generated = re.search(r"(\d+) generated", ran.stdout)
        if generated and int(generated[1]) >= 200:
            return f"{generated[1]} requests"
    raise AssertionError(f"too few requests: {ran.stdout[-600:]}")


end()
