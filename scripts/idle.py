#!/usr/bin/env python3
"""What an idle server keeps in memory, and how long the first question takes, as it is. usage: idle.py BINARY [RESTARTS]

Starts BINARY on data of its own with the starter pack and the built-in model: a first start with its import, then a
restart (RESTARTS times, 3 unless told; all but the first only ask). Prints

  memory      VmRSS of /proc/PID/status, with its parts that belong to no file (anon) and to files
  questions   milliseconds by POST /v1/chat/completions, streamed, until the first text comes

Needs Linux. Nothing is judged, and nothing fails.
"""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

QUESTIONS = ["跨境店入驻要交多少保证金，多久能退？", "How long does a refund take to arrive?", "退货地址填错了怎么改，买家已经寄出",
             "保税仓入库要提前多久预约"]
LATER = ["广告扣费怎么算的呀", "优惠券能叠加吗"]


class Server:
    def __init__(self, binary, data):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.binary, self.data, began = binary, data, time.monotonic()
        arguments = [binary, "serve", "--data-dir", data, "--listen", self.address]
        self.process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not self.ready():
            if self.process.poll() is not None:
                sys.exit(f"{binary} does not serve")
            time.sleep(0.05)
        self.took = time.monotonic() - began

    def ready(self):
        try:
            return urllib.request.urlopen(f"http://{self.address}/readyz", timeout=1).status == 200
        except OSError:
            return False

    def key(self):
        issue = [self.binary, "key", "issue", "--json", "--data-dir", self.data, "--role", "member"]
        return json.loads(subprocess.run(issue, capture_output=True, check=True).stdout)["key"]

    def memory(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            sizes = dict(re.findall(r"(VmRSS|RssAnon|RssFile):\s+(\d+)", status.read()))
        rss, anon, file = (int(sizes[name]) // 1024 for name in ("VmRSS", "RssAnon", "RssFile"))
        return f"{rss} MB (anon {anon}, files {file})"

    def ask(self, key, question):
        body = json.dumps({"model": "builtin", "stream": True, "messages": [{"role": "user", "content": question}]}).encode()
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        began, first = time.monotonic(), None
        with urllib.request.urlopen(urllib.request.Request(f"http://{self.address}/v1/chat/completions", body, headers)) as lines:
            for line in lines:
                said = json.loads(line[6:])["choices"] if line.startswith(b"data: {") else []
                if first is None and said and said[0]["delta"].get("content"):
                    first = 1000 * (time.monotonic() - began)
        return f"{first:.0f}" if first else "none"

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def look(server, key, idle):
    if idle:
        time.sleep(5)
        print("  memory 5 s after:", server.memory())
        time.sleep(40)
        print("  memory 45 s after:", server.memory())
    else:
        time.sleep(3)
    print("  questions:", ", ".join(server.ask(key, question) for question in QUESTIONS), "ms")
    if idle:
        time.sleep(50)
        print("  memory 50 s after them:", server.memory())
        print("  questions then:", ", ".join(server.ask(key, question) for question in LATER), "ms")


def main(binary, restarts=3):
    with tempfile.TemporaryDirectory() as data:
        key = None
        for start in range(1 + int(restarts)):
            server = Server(os.path.abspath(binary), data)
            print("restart:" if start else "first start:", f"ready after {server.took:.1f} s")
            key = key or server.key()
            look(server, key, idle=start < 2)
            server.stop()


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
