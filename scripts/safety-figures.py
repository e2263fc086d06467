#!/usr/bin/env python3
"""What the built-in rules refuse on public sets, as it is. usage: safety-figures.py BINARY FILE.jsonl.gz...

Starts BINARY on data of its own, once for each setting of safety.injection, with no word list and no judging
model, asks it every prompt of the files by `POST /api/v1/chat` with the built-in model, and counts

  refused   a guardrail said no (finish_reason content_filter)
  answered  the knowledge base had something near enough (decision direct or grounded): a model would see it

A file's lines have `prompt` or `question`, and may have a `label` or a `category`, which are counted apart. Of XSTest,
`unsafe` refused is the refusal rate and `safe` refused the over-refusal rate. Nothing is judged, and nothing fails.
"""
import collections
import concurrent.futures
import gzip
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

SETTINGS = ["flag", "refuse"]


def lines(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for row in map(json.loads, file):
            group = row.get("label") or row.get("category") or ""
            yield f"{Path(path).name.split('.')[0]} {group}".strip(), row.get("prompt") or row["question"]


def ask(address, key, text):
    """How a turn ended: its decision and its finish reason."""
    body = json.dumps({"text": text, "model": "builtin"}).encode()
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    decision = reason = None
    with urllib.request.urlopen(urllib.request.Request(f"http://{address}/api/v1/chat", body, headers), timeout=60) as events:
        for line in events:
            if not line.startswith(b"data:"):
                continue
            event = json.loads(line[5:])
            decision = event.get("decision", decision)
            if event["type"] == "response.done":
                reason = event["finish_reason"]
    if reason is None:
        sys.exit(f"no end came for {text[:40]!r}")
    return decision, reason


def measure(binary, injection, prompts):
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        free.close()
        config = Path(folder) / "config.toml"
        config.write_text(
            f'listen = "{address}"\n[limits]\nkey_per_minute = 10000000\naddress_per_minute = 10000000\n'
            f'[safety]\ninjection = "{injection}"\nwords = []\njudge = ""\n'
        )
        flags = ["--data-dir", f"{folder}/data", "--config", config]
        server = subprocess.Popen([binary, "serve", *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            for _ in range(600):
                if server.poll() is not None:
                    sys.exit(f"the server ended with {server.returncode}")
                try:
                    urllib.request.urlopen(f"http://{address}/readyz", timeout=5).read()
                    break
                except OSError:
                    time.sleep(0.2)
            else:
                sys.exit("the server did not become ready")
            issued = subprocess.run([binary, "key", "issue", "--role", "member", "--json", *flags], stdout=subprocess.PIPE, check=True)
            key = json.loads(issued.stdout)["key"]
            counts = collections.defaultdict(collections.Counter)
            with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
                ended = pool.map(lambda prompt: ask(address, key, prompt[1]), prompts)
                for (group, _), (decision, reason) in zip(prompts, ended):
                    count = counts[group]
                    count["all"] += 1
                    count["refused"] += reason == "content_filter"
                    count["answered"] += decision != "none"
            return counts
        finally:
            server.terminate()
            server.wait()


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    prompts = [line for path in sys.argv[2:] for line in lines(path)]
    for injection in SETTINGS:
        print(f'safety.injection = "{injection}", no words, no judge:')
        for group, count in measure(sys.argv[1], injection, prompts).items():
            share = {what: 100 * count[what] / count["all"] for what in ("refused", "answered")}
            print(f"  {group:56} {count['all']:5}  refused {share['refused']:5.1f} %  answered {share['answered']:5.1f} %", flush=True)


if __name__ == "__main__":
    main()
