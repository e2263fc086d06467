#!/usr/bin/env python3
"""Measures retrieval on labelled sets that are not about the starter pack. usage: eval-shared.py BINARY FOLDER

Each set NAME is NAME.entries.jsonl.gz and NAME.queries.jsonl.gz in FOLDER; it is imported as it is into a data
directory of its own. Fails when the fused order is below its floor, or below the lexical leg alone.
"""
import gzip
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# nDCG@10 of the fused order, at least.
FLOORS = {"adobe_zh": 0.40, "banking77_en": 0.78, "cmrc_zh": 0.98}


def run(*command):
    ran = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    if ran.returncode:
        sys.exit(f"{' '.join(map(str, command[1:4]))}: exit code {ran.returncode}\n{ran.stdout}")
    return json.loads(ran.stdout)


def unpack(folder, name, into):
    source, plain = folder / f"{name}.gz", into / name
    if not source.exists():
        sys.exit(f"{source} is missing: SETS=DIR names the folder of the sets.")
    with gzip.open(source) as packed, plain.open("wb") as out:
        shutil.copyfileobj(packed, out)
    return plain


def measure(binary, folder, name):
    with tempfile.TemporaryDirectory() as temporary:
        here = Path(temporary)
        entries, queries = (unpack(folder, f"{name}.{part}.jsonl", here) for part in ("entries", "queries"))
        common = ("--json", "--data-dir", here / "data")
        run(binary, "kb", "import", "--as-is", entries, *common)
        report = run(binary, "kb", "eval", queries, *common)
    return [report["legs"][leg]["ndcg@10"] for leg in ("lexical", "semantic", "fused")]


def main():
    binary, folder, bad = sys.argv[1], Path(sys.argv[2]), []
    print(f"{'nDCG@10':14}{'lexical':>10}{'semantic':>10}{'fused':>10}{'floor':>10}")
    for name, floor in FLOORS.items():
        lexical, semantic, fused = measure(binary, folder, name)
        print(f"{name:14}{lexical:10.3f}{semantic:10.3f}{fused:10.3f}{floor:10.3f}", flush=True)
        if fused < max(floor, lexical):
            bad.append(name)
    if bad:
        sys.exit(f"The fused order is below its floor or below the lexical leg: {', '.join(bad)}.")


main()
