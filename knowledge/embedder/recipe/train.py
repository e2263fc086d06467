"""Trains the built-in embedding model: one vector per token, a text is the mean of its tokens.

    python train.py --pairs train_pairs.jsonl.gz --pairs merchant_pairs.jsonl.gz:2 \
        --tokenizer tokenizer.json --out model.onnx

`FILE:N` shows every pair of the file N times an epoch. Needs numpy, scipy, tokenizers, onnx; one core
and some minutes. The same seed, files and library versions give the same model (set OMP_NUM_THREADS=1).
"""

import argparse
import gzip
import json
import re
import time
import zlib
from collections import Counter

import numpy as np
import scipy.sparse as sp
from tokenizers import Tokenizer

DIM = 256
# Nested losses: the first 128 and 64 numbers must be usable alone.
NESTED = ((256, 1.0), (128, 0.6), (64, 0.3))
TEMPERATURE = 0.05
BATCH, SMALLEST_BATCH = 768, 48
SHARE = 0.5  # how much of its characters' vectors a Chinese word carries
PREFIX = 5  # Latin words of the same first letters share a row
LONGEST = 192  # tokens of a text read in training; passages say what they are about early
RATE, WARM_UP, LAST_RATE = 0.005, 30, 0.03
BETA1, BETA2 = 0.9, 0.99
HARD_PER_BATCH = 256


def load_tokenizer(path):
    tokenizer = Tokenizer.from_file(path)
    tokenizer.no_padding()
    tokenizer.enable_truncation(LONGEST)
    return tokenizer


def read_pairs(specs, skip):
    """The pairs of all files, repeated as asked. `skip(tag)` leaves groups out."""
    pairs = []
    for spec in specs:
        path, _, times = spec.partition(":")
        with gzip.open(path, "rt", encoding="utf-8") as file:
            rows = [tuple(json.loads(line)) for line in file]
        pairs += [row for row in rows if not skip(row[0])] * int(times or 1)
    return pairs


def composition(tokenizer):
    """Matrix from trained rows to token vectors: a token is itself plus its parts.

    Rare words thereby inherit what their characters or their stem learned elsewhere.
    """
    vocabulary = tokenizer.get_vocab()
    size = len(vocabulary)
    latin = re.compile(r"[a-z]{%d,}" % PREFIX)
    stems = Counter(token[:PREFIX] for token in vocabulary if latin.fullmatch(token))
    entries = [(row, row, 1.0) for row in range(size)]
    stem_rows = {}
    for token, row in sorted(vocabulary.items(), key=lambda item: item[1]):
        if re.fullmatch(r"[\u4e00-\u9fff]{2,}", token):
            entries += [(row, vocabulary[char], SHARE) for char in token if char in vocabulary]
        elif latin.fullmatch(token) and stems[token[:PREFIX]] > 1:
            entries.append((row, stem_rows.setdefault(token[:PREFIX], size + len(stem_rows)), 1.0))
    rows, columns, weights = zip(*entries)
    return sp.csr_matrix((weights, (rows, columns)), shape=(size, size + len(stem_rows)), dtype=np.float32)


def count_tokens(tokenizer, texts):
    """One row per text, one column per token, how often it occurs."""
    indices, starts = [], [0]
    for at in range(0, len(texts), 8192):
        for encoding in tokenizer.encode_batch(texts[at : at + 8192], add_special_tokens=False):
            indices.extend(encoding.ids)
            starts.append(len(indices))
    shape = (len(texts), tokenizer.get_vocab_size())
    counts = sp.csr_matrix((np.ones(len(indices), np.float32), np.array(indices, np.int32), starts), shape=shape)
    counts.sum_duplicates()
    return counts


def initial_rows(counts, rows, rng):
    """Random directions; frequent tokens start short so that they do not drown the rest."""
    size = counts.shape[1]
    frequency = np.asarray(counts.sum(0)).ravel() / counts.sum()
    documents = np.bincount(counts.indices, minlength=size)
    rarity = np.log(counts.shape[0] / (documents + 1.0)) / np.log(counts.shape[0])
    length = 1e-3 / (1e-3 + frequency) * np.clip(rarity, 0.05, 1.0)
    table = np.zeros((rows, DIM), np.float32)  # stems start at nothing
    table[:size] = rng.standard_normal((size, DIM)) / np.sqrt(DIM) * length[:, None]
    return table


def numbers(values):
    """Equal values get equal numbers."""
    return np.unique(np.array(values, dtype=object).astype(str), return_inverse=True)[1]


class Data:
    """Pairs as token counts over the distinct texts, with what decides who may be a negative."""

    def __init__(self, pairs, tokenizer, parts):
        ids = {}
        number = lambda text: ids.setdefault(text, len(ids))
        self.a = np.array([number(pair[1]) for pair in pairs])
        self.b = np.array([number(pair[2]) for pair in pairs])
        self.hard = np.array([number(pair[3]) if pair[3] else -1 for pair in pairs])
        self.counts = count_tokens(tokenizer, list(ids))
        self.bags = (self.counts @ parts).tocsr()
        # A tag without a group: every pair is a group of its own.
        self.group = numbers([pair[0] if ":" in pair[0] else f"#{at}" for at, pair in enumerate(pairs)])
        self.source = numbers([pair[0].split(":")[0] for pair in pairs])
        self.drops = np.array([pair[0].startswith("merchant_") for pair in pairs])
        filled = np.diff(self.counts.indptr) > 0
        self.usable = np.flatnonzero(filled[self.a] & filled[self.b])

    def batches(self, rng):
        """Batches of one source each: a negative from another source would be too easy."""
        out = []
        for source in np.unique(self.source):
            mine = rng.permutation(self.usable[self.source[self.usable] == source])
            out += [mine[at : at + BATCH] for at in range(0, len(mine), BATCH)]
        out = [batch for batch in out if len(batch) >= SMALLEST_BATCH]
        rng.shuffle(order := np.arange(len(out)))
        return [out[at] for at in order]

    def same(self, batch):
        """Which a and b of a batch must not be negatives: same group or same text."""
        group, a, b = self.group[batch], self.a[batch], self.b[batch]
        same = (group[:, None] == group) | (a[:, None] == a) | (b[:, None] == b) | (a[:, None] == b)
        np.fill_diagonal(same, False)
        return same


def unit(vectors):
    length = np.sqrt((vectors * vectors).sum(1, keepdims=True)) + 1e-8
    return vectors / length, length


def softmax(scores):
    scores = np.exp(scores - scores.max(1, keepdims=True))
    return scores / scores.sum(1, keepdims=True)


def contrast(sums, size, same, other_hard):
    """Loss of a batch (at full width) and its gradient by the text sums: a's, b's, hard negatives.

    Symmetric InfoNCE, a finds its b and b its a. A hard negative counts only against its own group,
    because nobody says that it is wrong for the others.
    """
    gradient = np.zeros_like(sums)
    diagonal = np.arange(size)
    reported = 0.0
    for width, weight in NESTED:
        vectors, length = unit(sums[:, :width])
        a, b, hard = vectors[:size], vectors[size : 2 * size], vectors[2 * size :]
        scores = a @ b.T / TEMPERATURE
        scores[same] = -1e4
        hard_scores = a @ hard.T / TEMPERATURE
        hard_scores[other_hard] = -1e4
        forward = softmax(np.concatenate([scores, hard_scores], 1))
        backward = softmax(scores.T)
        if width == DIM:
            reported = -np.log(forward[diagonal, diagonal] + 1e-12).mean()
        forward[diagonal, diagonal] -= 1
        backward[diagonal, diagonal] -= 1
        by_b, by_hard = forward[:, :size], forward[:, size:]
        by_unit = np.concatenate([by_b @ b + by_hard @ hard + backward.T @ b, by_b.T @ a + backward @ a, by_hard.T @ a])
        by_unit *= weight / (2 * size * TEMPERATURE)
        # Back through the scaling to length 1.
        gradient[:, :width] += (by_unit - vectors * (by_unit * vectors).sum(1, keepdims=True)) / length
    return reported, gradient


class Adam:
    """Adam that touches only the rows of the batch; the others keep their state."""

    def __init__(self, table):
        self.table, self.step = table, 0
        self.mean, self.square = np.zeros_like(table), np.zeros_like(table)

    def update(self, rows, gradient, rate):
        self.step += 1
        mean = BETA1 * self.mean[rows] + (1 - BETA1) * gradient
        square = BETA2 * self.square[rows] + (1 - BETA2) * gradient * gradient
        self.mean[rows], self.square[rows] = mean, square
        mean, square = mean / (1 - BETA1**self.step), square / (1 - BETA2**self.step)
        self.table[rows] -= rate * mean / (np.sqrt(square) + 1e-8)


def train(data, table, epochs, dropout, rng):
    optimiser = Adam(table)
    total = epochs * len(data.batches(np.random.default_rng(0)))
    began = time.time()
    for epoch in range(epochs):
        losses = []
        for batch in data.batches(rng):
            with_hard = batch[data.hard[batch] >= 0][:HARD_PER_BATCH]
            other_hard = data.group[batch][:, None] != data.group[with_hard][None, :]
            bags = data.bags[np.concatenate([data.a[batch], data.b[batch], data.hard[with_hard]])]
            rows, columns = np.unique(bags.indices, return_inverse=True)
            bags = sp.csr_matrix((bags.data, columns, bags.indptr), shape=(bags.shape[0], len(rows)))
            if dropout and data.drops[batch[0]]:
                # Lost tokens stand for typos and for other words: no single token may decide alone.
                # Only for the merchants' questions; long passages need their rare words (cmrc_zh fell).
                bags.data *= rng.random(len(bags.data)) >= dropout
            loss, gradient = contrast(bags @ table[rows], len(batch), data.same(batch), other_hard)
            done = optimiser.step / total
            rate = RATE * min(1.0, (optimiser.step + 1) / WARM_UP) * max(LAST_RATE, 1 - done)
            optimiser.update(rows, bags.T @ gradient, rate)
            losses.append(loss)
        print(f"epoch {epoch + 1}/{epochs} loss {np.mean(losses):.4f} {time.time() - began:.0f}s", flush=True)


def export(vectors, path):
    """int8 rows with one scale each; input_ids, attention_mask -> last_hidden_state."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    vectors = vectors / np.linalg.norm(vectors, axis=1).max()  # lengths matter only among themselves
    scale = np.abs(vectors).max(1, keepdims=True) / 127
    scale[scale == 0] = 1
    quantised = np.clip(np.round(vectors / scale), -127, 127).astype(np.int8)
    node = helper.make_node
    nodes = [
        node("Gather", ["W", "input_ids"], ["e8"], axis=0),
        node("Cast", ["e8"], ["ef"], to=TensorProto.FLOAT),
        node("Gather", ["S", "input_ids"], ["sc"], axis=0),
        node("Mul", ["ef", "sc"], ["emb"]),
        node("Cast", ["attention_mask"], ["mf"], to=TensorProto.FLOAT),
        node("Unsqueeze", ["mf", "ax2"], ["m3"]),
        node("Mul", ["emb", "m3"], ["last_hidden_state"]),
    ]
    tensor = helper.make_tensor_value_info
    inputs = [tensor(name, TensorProto.INT64, ["batch", "seq"]) for name in ("input_ids", "attention_mask")]
    outputs = [tensor("last_hidden_state", TensorProto.FLOAT, ["batch", "seq", vectors.shape[1]])]
    constants = {"W": quantised, "S": scale.astype(np.float32), "ax2": np.array([2], np.int64)}
    constants = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "static_embedder", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="merchant-copilot")
    model.ir_version = 8  # what older runtimes still read
    onnx.checker.check_model(model)
    onnx.save(model, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", action="append", required=True, metavar="FILE[:TIMES]")
    parser.add_argument("--tokenizer", default="tokenizer.json")
    parser.add_argument("--out", default="model.onnx")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--dropout", type=float, default=0.0, help="share of tokens left out at random in the merchant pairs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hold-out", type=int, choices=(0, 1), help="leave this half of the pack's groups out, to measure on facts never seen")
    args = parser.parse_args()

    held = lambda tag: args.hold_out is not None and tag.startswith(("merchant_", "policy_")) and zlib.crc32(tag.split(":", 1)[1].encode()) % 2 == args.hold_out
    rng = np.random.default_rng(args.seed)
    tokenizer = load_tokenizer(args.tokenizer)
    parts = composition(tokenizer)
    data = Data(read_pairs(args.pairs, held), tokenizer, parts)
    print(f"{len(data.usable)} pairs, {data.counts.shape[0]} texts", flush=True)
    table = initial_rows(data.counts, parts.shape[1], rng)
    train(data, table, args.epochs, args.dropout, rng)
    vectors = parts @ table
    vectors[:2] = 0  # [PAD] and [UNK] say nothing
    export(vectors.astype(np.float32), args.out)


if __name__ == "__main__":
    main()
