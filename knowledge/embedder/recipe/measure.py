"""Measures the semantic leg alone: nDCG@10, and how well the best cosine tells answerable questions.

    python measure.py model.onnx [more.onnx ...] --pack knowledge/starter --eval knowledge/eval/starter.jsonl \
        --shared /path/to/shared/eval

Texts are normalised as the server does it (NFKC, lower case; traditional to simplified when
opencc-python-reimplemented is installed). `--hold-out N` reports only the starter questions whose rows
`train.py --hold-out N` did not see.
"""

import argparse
import csv
import gzip
import hashlib
import json
import re
import unicodedata
import zlib
from collections import defaultdict
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from pairs import PATH, read_rows, read_sections
from tokenizers import Tokenizer

try:
    from opencc import OpenCC

    simplify = OpenCC("t2s").convert
except ImportError:
    simplify = str

TODAY = "2026-11-23"  # the day the starter questions were labelled for


def normalise(text):
    return " ".join(simplify(unicodedata.normalize("NFKC", text).lower()).split())


class Model:
    def __init__(self, path, tokenizer):
        tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}
        self.table = tensors["W"].astype(np.float32) * tensors["S"]
        self.tokenizer = tokenizer

    def embed(self, ids):
        sums = np.stack([self.table[text].sum(0) if len(text) else np.zeros(self.table.shape[1], np.float32) for text in ids])
        return sums / (np.linalg.norm(sums, axis=1, keepdims=True) + 1e-9)


def read_jsonl(path):
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def section_id(file, question):
    """The identity the importer gives a policy section."""
    key = "".join(char for char in normalise(question) if char.isalnum())
    return "e_" + hashlib.sha256(f"{file}\0{key}".encode()).hexdigest()[:20]


def expired(pack):
    out = set()
    with open(pack / "merchant_qa.zh.csv", encoding="utf-8-sig", newline="") as file:
        rows = [(row["编号"], row["生效时间"], row["失效时间"]) for row in csv.DictReader(file)]
    rows += [(row["id"], row.get("valid_from"), row.get("valid_to")) for row in read_jsonl(pack / "merchant_qa.en.jsonl")]
    for row_id, start, end in rows:
        if (start or "") > TODAY or (end or "9") < TODAY:
            out.add(row_id)
    return out


def starter_passages(pack):
    """(id, passage, group as train.py sees it): every phrasing alone, and question with answer."""
    gone = expired(pack)
    for _, row_id, question, answer, similar, _ in read_rows(pack):
        if row_id not in gone:
            for phrasing in (question, *similar):
                yield row_id, phrasing, row_id
            yield row_id, f"{question}\n{answer}", row_id
    for file, title, heading, body, similar, _ in read_sections(pack):
        question = title + PATH + heading
        for passage in (question, *similar, f"{question}\n{body}"):
            yield section_id(file, question), passage, f"{file}#{heading}"


def shared_passages(folder, name):
    for entry in read_jsonl(folder / f"{name}.entries.jsonl.gz"):
        yield entry["id"], entry["answer"], None
        if entry["question"]:
            yield entry["id"], entry["question"], None


class Set:
    def __init__(self, queries, passages, tokenizer):
        self.queries = queries
        ids, texts, _ = zip(*passages)
        names = {name: at for at, name in enumerate(dict.fromkeys(ids))}
        self.names, self.entry = names, np.array([names[name] for name in ids])
        encode = lambda texts: [e.ids for e in tokenizer.encode_batch([normalise(text) for text in texts], add_special_tokens=False)]
        self.passages, self.asked = encode(texts), encode([query["query"] for query in queries])
        # Passages of an entry side by side, so that one reduceat takes the best of each.
        self.order = np.argsort(self.entry, kind="stable")
        self.starts = np.searchsorted(self.entry[self.order], np.arange(len(names)))

    def rank(self, model):
        """(nDCG@10 or nan, best cosine) of every query."""
        passages, asked = model.embed(self.passages)[self.order], model.embed(self.asked)
        out = []
        for at in range(0, len(asked), 256):
            best = np.maximum.reduceat(asked[at : at + 256] @ passages.T, self.starts, axis=1)
            for query, scores in zip(self.queries[at : at + 256], best):
                for name in query.get("exclude", ()):
                    if name in self.names:
                        scores[self.names[name]] = -2
                out.append((self.ndcg(query, scores), scores.max()))
        return np.array(out)

    def ndcg(self, query, scores):
        relevant = {self.names[name] for name in query["relevant"] if name in self.names}
        if not relevant:
            return np.nan
        top = np.argsort(-scores, kind="stable")[:10]
        discount = 1 / np.log2(np.arange(2, 12))
        gain = sum(discount[place] for place, entry in enumerate(top) if entry in relevant)
        return gain / discount[: min(10, len(relevant))].sum()


def auc(positive, negative):
    difference = positive[:, None] - negative[None, :]
    return (difference > 0).mean() + 0.5 * (difference == 0).mean()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--tokenizer", default="tokenizer.json")
    parser.add_argument("--pack", type=Path, default=Path("knowledge/starter"))
    parser.add_argument("--eval", type=Path, default=Path("knowledge/eval/starter.jsonl"))
    parser.add_argument("--shared", type=Path)
    parser.add_argument("--hold-out", type=int, choices=(0, 1))
    parser.add_argument("--dims", type=int, default=256)
    args = parser.parse_args()
    tokenizer = Tokenizer.from_file(args.tokenizer)
    tokenizer.no_padding()
    tokenizer.enable_truncation(512)

    passages = list(starter_passages(args.pack))
    sets = {"starter": Set(read_jsonl(args.eval), passages, tokenizer)}
    if args.hold_out is not None:
        unseen = {name for name, _, group in passages if zlib.crc32(group.encode()) % 2 == args.hold_out}
        keep = np.array([set(query["relevant"]) <= unseen for query in sets["starter"].queries])
    if args.shared:
        for name in ("adobe_zh", "banking77_en", "cmrc_zh"):
            queries = read_jsonl(args.shared / f"{name}.queries.jsonl.gz")
            sets[name] = Set(queries, list(shared_passages(args.shared, name)), tokenizer)
    for path in args.models:
        model = Model(path, tokenizer)
        model.table = model.table[:, : args.dims]
        line = [f"{path:<32}"]
        for name, data in sets.items():
            result = data.rank(model)
            if name != "starter":
                line.append(f"{name} {np.nanmean(result[:, 0]):.4f}")
                continue
            kinds = np.array([query["kind"] for query in data.queries])
            answerable = kinds != "unanswerable"
            chosen = answerable if args.hold_out is None else answerable & keep
            line.append(f"starter {result[chosen, 0].mean():.4f} (n={chosen.sum()}) AUC {auc(result[chosen, 1], result[~answerable, 1]):.4f}")
            by_kind = defaultdict(list)
            for kind, value in zip(kinds[chosen], result[chosen, 0]):
                by_kind[kind].append(value)
            detail = "  ".join(f"{kind} {np.mean(values):.3f}" for kind, values in by_kind.items())
        print("  ".join(line), f"\n    {detail}", flush=True)


if __name__ == "__main__":
    main()
