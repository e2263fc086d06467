#!/usr/bin/env python3
"""What the built-in rules refuse on public sets, as it is. usage: safety-figures.py BINARY FILE.jsonl.gz...

Starts BINARY on data of its own, once for each setting of safety.injection, with no word list and no judging
model, asks it every prompt of the files by `POST /api/v1/chat` with the built-in model, and counts

  refused   a guardrail said no (finish_reason content_filter)
  answered  the knowledge base had something near enough (decision direct or grounded): a model would see it

A file's lines have `prompt` or `question`, and may have a `label` or a `category`, which are counted apart. Of XSTest,
`unsafe` refused is the refusal rate and `safe` refused the over-refusal rate. Nothing is judged, and nothing fails.

A file whose lines have `personal` ([[text, kind], …], as knowledge/eval/personal_data.jsonl) measures the detectors of
personal data instead: which labelled texts are gone from the question as it is stored, and how many placeholders are there.
"""
import collections
import concurrent.futures
import gzip
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

SETTINGS = ["flag", "refuse"]


def opened(path):
    return gzip.open(path, "rt", encoding="utf-8") if str(path).endswith(".gz") else open(path, encoding="utf-8")


def lines(path):
    with opened(path) as file:
        for row in map(json.loads, file):
            group = row.get("label") or row.get("category") or ""
            yield f"{Path(path).name.split('.')[0]} {group}".strip(), row.get("prompt") or row["question"]


def ask(address, key, text):
    """How a turn ended: its decision, its finish reason, and the conversation it opened."""
    body = json.dumps({"text": text, "model": "builtin"}).encode()
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    decision = reason = conversation = None
    with urllib.request.urlopen(urllib.request.Request(f"http://{address}/api/v1/chat", body, headers), timeout=60) as events:
        for line in events:
            if not line.startswith(b"data:"):
                continue
            event = json.loads(line[5:])
            decision = event.get("decision", decision)
            conversation = event.get("conversation_id", conversation)
            if event["type"] == "response.done":
                reason = event["finish_reason"]
    if reason is None:
        sys.exit(f"no end came for {text[:40]!r}")
    return decision, reason, conversation


def stored(address, key, conversation):
    """The question as it was stored."""
    url = f"http://{address}/api/v1/conversations/{conversation}"
    with urllib.request.urlopen(urllib.request.Request(url, headers={"authorization": f"Bearer {key}"}), timeout=60) as answer:
        return json.load(answer)["turns"][0]["question"]


def detect(address, key, rows):
    right = found = labelled = 0
    for row in rows:
        kept = stored(address, key, ask(address, key, row["text"])[2])
        placeholders = lambda text: len(re.findall(r"\[[^\[\]]+\]", text))
        gone = sum(text not in kept for text, _ in row["personal"])
        right, labelled = right + gone, labelled + len(row["personal"])
        found += max(placeholders(kept) - placeholders(row["text"]), 0)
    print(f"personal data on {len(rows)} lines: {right} of {labelled} labelled texts found (recall {right / labelled:.3f}), "
          f"{found} placeholders (precision {right / found:.3f})", flush=True)


def measure(binary, injection, prompts, personal):
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
            if personal:
                detect(address, key, personal)
            counts = collections.defaultdict(collections.Counter)
            with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
                ended = pool.map(lambda prompt: ask(address, key, prompt[1]), prompts)
                for (group, _), (decision, reason, _) in zip(prompts, ended):
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
    prompts, personal = [], []
    for path in sys.argv[2:]:
        with opened(path) as file:
            first = json.loads(file.readline())
        if "personal" in first:
            with opened(path) as file:
                personal += map(json.loads, file)
        else:
            prompts += lines(path)
    for injection in SETTINGS[:1] if not prompts else SETTINGS:
        print(f'safety.injection = "{injection}", no words, no judge:')
        for group, count in measure(sys.argv[1], injection, prompts, personal).items():
            share = {what: 100 * count[what] / count["all"] for what in ("refused", "answered")}
            print(f"  {group:56} {count['all']:5}  refused {share['refused']:5.1f} %  answered {share['answered']:5.1f} %", flush=True)


if __name__ == "__main__":
    main()
