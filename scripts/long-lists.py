#!/usr/bin/env python3
"""How quick the console's table of entries stays when there are many.

    scripts/long-lists.py MERCHANT_COPILOT [DIRECTORY]

Imports ENTRIES (100,000 unless the environment says otherwise) made-up rows into DIRECTORY, or into one that is
deleted afterwards; one that has them already is used as it is. Then it asks what the console asks: the first page,
words, filters, every page to the end, an export. Prints a Markdown table; exit code 1 when a page took longer than
SLOWEST_MS (1,000). DATABASE names another database, as `COPILOT_DATABASE` does. Only Python's own library.
"""

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

ENTRIES = int(os.environ.get("ENTRIES", "100000"))
SLOWEST_MS = float(os.environ.get("SLOWEST_MS", "1000"))
ROUNDS = 5
CATEGORIES = ["保证金", "物流", "违规", "活动", "结算", "商品", "售后", "店铺"]
MARKETS = [None, "US", "SG", "MY", "TH"]
VERBS = ["怎么申请", "多久到账", "为什么被退回", "要哪些材料", "可以取消吗", "由谁承担费用", "怎么修改", "在哪里查看"]
THINGS = ["保证金", "退款", "运单", "发票", "优惠券", "赠品", "店铺名称", "品牌授权", "仓库地址", "活动报名", "违规记录", "结算单"]


def rows(count):
    """The same rows every time."""
    chance = random.Random(5)
    for n in range(count):
        thing, verb = chance.choice(THINGS), chance.choice(VERBS)
        yield {
            "id": f"made-{n:06}",
            "question": f"{thing}{verb}？（编号 {n}）",
            "answer": f"{thing}的第 {n} 条规则：{verb}以后台提示为准，{chance.randint(1, 30)} 个工作日内处理，" + "请先核对订单号与联系方式。" * chance.randint(1, 6),
            "category": chance.choice(CATEGORIES),
            "market": chance.choice(MARKETS),
            "source": f"sheet-{n % 7}.csv",
            "direct": n % 11 == 0,
            "valid_to": "2020-01-31" if n % 50 == 0 else None,
        }


class House:
    """The program on a data directory of its own."""

    def __init__(self, binary, directory):
        self.binary, self.directory = binary, directory
        known = {name: value for name, value in os.environ.items() if not name.startswith("COPILOT_")}
        database = {"COPILOT_DATABASE": os.environ["DATABASE"]} if "DATABASE" in os.environ else {}
        limits = {"COPILOT_LIMITS__KEY_PER_MINUTE": "100000", "COPILOT_LIMITS__ADDRESS_PER_MINUTE": "100000"}
        self.env = {**known, **database, **limits}

    def run(self, *words):
        done = subprocess.run([self.binary, *words, "--json", "--data-dir", self.directory], env=self.env, stdout=subprocess.PIPE, check=False)
        if done.returncode == 2:
            sys.exit(f"{' '.join(words[:2])} could not run")
        return json.loads(done.stdout)

    def serve(self):
        words = ["serve", "--json", "--data-dir", self.directory, "--listen", "127.0.0.1:0"]
        self.child = subprocess.Popen([self.binary, *words], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        said = ""
        for line in self.child.stdout:
            said += line.decode()
            try:
                self.url = json.loads(said)["url"].rstrip("/")
                break
            except ValueError:
                pass
        self.key = self.run("key", "issue", "--role", "admin")["key"]
        while True:
            try:
                return urllib.request.urlopen(f"{self.url}/readyz").read()
            except OSError:
                time.sleep(0.2)

    def get(self, path, **values):
        """What is there, its bytes, and the milliseconds it took."""
        query = urllib.parse.urlencode({name: value for name, value in values.items() if value is not None})
        request = urllib.request.Request(f"{self.url}/api/v1{path}?{query}", headers={"authorization": f"Bearer {self.key}"})
        start = time.perf_counter()
        body = urllib.request.urlopen(request).read()
        return body, (time.perf_counter() - start) * 1000

    def stop(self):
        self.child.terminate()
        self.child.wait()


def page(house, **values):
    """A page of the table, asked for a few times: what it says, and the median."""
    asked = [house.get("/knowledge/entries", limit=50, **values) for _ in range(ROUNDS)]
    return json.loads(asked[0][0]), statistics.median(ms for _, ms in asked)


def measure(house):
    """Each figure as what was asked, how many there were, and the milliseconds."""
    stats = [house.get("/knowledge/stats") for _ in range(ROUNDS)]
    yield "figures above the table", json.loads(stats[0][0])["entries"], statistics.median(ms for _, ms in stats)
    asked = {
        "first page": {},
        "words that many have": {"q": "保证金"},
        "words that one has": {"q": "编号 77777" if ENTRIES > 77777 else "编号 77"},
        "words that none has": {"q": "量子计算机"},
        "an id": {"q": "made-000042"},
        "category": {"category": "物流"},
        "market": {"market": "SG"},
        "source": {"source": "sheet-3.csv"},
        "answered without a model": {"direct": "true"},
        "expired": {"validity": "expired"},
        "in force": {"validity": "live"},
        "deleted": {"validity": "deleted"},
        "all filters and words": {"q": "保证金", "category": "物流", "market": "SG", "source": "sheet-3.csv", "validity": "live", "direct": "false"},
    }
    for name, values in asked.items():
        shown, ms = page(house, **values)
        yield name, shown["total"], ms
    place, pages, slowest = None, 0, 0.0
    while True:
        body, ms = house.get("/knowledge/entries", limit=50, after=place)
        pages, slowest, place = pages + 1, max(slowest, ms if place else 0), json.loads(body)["next"]
        if not place:
            break
    yield f"slowest of the pages to the end ({pages})", "", slowest
    found = [house.get("/knowledge/search", q=text, top=10)[1] for text in ("保证金多久到账？", "违规记录怎么申请撤销", "运单为什么被退回")]
    yield "a question tried", "", statistics.median(found)


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory(prefix="mc-long-lists-") as made:
        house = House(sys.argv[1], sys.argv[2] if len(sys.argv) == 3 else made)
        print("| asked for | rows | ms |\n|---|--:|--:|")
        say = lambda name, count, ms: print(f"| {name} | {count:,} | {ms:,.0f} |" if count != "" else f"| {name} | | {ms:,.0f} |", flush=True)
        if house.run("kb", "stats")["entries"] < ENTRIES:
            sheet = os.path.join(made, "made.jsonl")
            with open(sheet, "w", encoding="utf-8") as file:
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows(ENTRIES))
            start = time.perf_counter()
            report = house.run("kb", "import", sheet, "--as-is")
            say("import", report["added"], (time.perf_counter() - start) * 1000)
        house.serve()
        try:
            slow = []
            for name, count, ms in measure(house):
                say(name, count, ms)
                if ms > SLOWEST_MS:
                    slow.append(name)
            for form in ("jsonl", "csv", "xlsx"):
                body, ms = house.get("/knowledge/export", format=form)
                say(f"export as {form} ({len(body) / 1e6:.0f} MB)", ENTRIES, ms)
        finally:
            house.stop()
    if slow:
        sys.exit(f"slower than {SLOWEST_MS:.0f} ms: {', '.join(slow)}")


main()
