"""Makes training pairs in the merchants' own language from the starter knowledge pack.

    python pairs.py --pack knowledge/starter --out merchant_pairs.jsonl.gz

One line per pair, as in train_pairs.jsonl.gz: [tag, a, b, hard negative or ""]. The tag is
`source:group`. Pairs of one group state the same fact and are never each other's negatives; a batch
holds one source only, so a Chinese row and the English row of the same rule never meet as negatives.

Only the pack is read. knowledge/eval is for measuring and must never be an input here.
"""

import argparse
import csv
import gzip
import json
import random
import re
from pathlib import Path

PATH = " › "  # between the headings of a policy section, as the importer writes it


def read_rows(pack):
    """(source, id, question, answer, similar, not) of every row of the two tables."""
    with open(pack / "merchant_qa.zh.csv", encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            split = lambda cell: [part.strip() for part in (cell or "").split("##") if part.strip()]
            yield "merchant_zh", row["编号"], row["标准问题"], row["答案"], split(row["相似问题"]), split(row["反例问题"])
    with open(pack / "merchant_qa.en.jsonl", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            yield "merchant_en", row["id"], row["question"], row["answer"], row.get("similar", []), row.get("not", [])


def read_sections(pack):
    """(file, title, heading, text) of every `##` section of the policy pages."""
    for path in sorted((pack / "policies").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        title = re.search(r"^# (.+)$", text, re.M).group(1).strip()
        for part in re.split(r"^## ", text, flags=re.M)[1:]:
            heading, _, body = part.partition("\n")
            yield path.name, title, heading.strip(), body.strip()


def row_pairs(row, mates, rng):
    """Every phrasing with its answer, and with `mates` other phrasings of the same row."""
    source, row_id, question, answer, similar, negatives = row
    phrasings = [question, *similar]
    passage = f"{question}\n{answer}"  # what the server embeds for the row
    hard = lambda: rng.choice(negatives) if negatives else ""
    for phrasing in phrasings:
        # The question itself stands in its passage: the bare answer makes that pair worth learning.
        yield f"{source}:{row_id}", phrasing, answer if phrasing == question else passage, hard()
        others = [other for other in phrasings if other != phrasing]
        for other in rng.sample(others, min(mates, len(others))):
            yield f"{source}:{row_id}", phrasing, other, hard()


def section_pairs(section):
    """The heading with the whole section and with each of its paragraphs."""
    file, title, heading, body = section
    source = "policy_zh" if file.endswith(".zh.md") else "policy_en"
    tag, path = f"{source}:{file}#{heading}", title + PATH + heading
    yield tag, path, body, ""
    yield tag, heading, body, ""
    for paragraph in re.split(r"\n\s*\n", body):
        if len(paragraph) > 20:
            yield tag, path, paragraph, ""
            # A paragraph and its section: what a question in the paragraph's words should find.
            yield tag, paragraph, f"{path}\n{body}", ""


def read_lexicon(path):
    """(Chinese words, English words) of every concept."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            yield tuple([word.strip() for word in side.split("|")] for side in line.split("="))


def lexicon_pairs(at, words):
    """Every two words of a concept, across the languages too."""
    both = [*words[0], *words[1]]
    for place, a in enumerate(both):
        for b in both[place + 1 :]:
            yield f"lexicon:{at}", a, b, ""


def reworded(row, lexicon, rng):
    """Phrasings with one word replaced by another for the same thing, each with a phrasing of the row.

    A word becomes English now and then, as merchants mix the languages.
    """
    source, row_id, question, _, similar, _ = row
    if source != "merchant_zh":
        return
    phrasings = [question, *similar]
    for phrasing in phrasings:
        found = [(word, words) for words in lexicon for word in words[0] if len(word) > 1 and word in phrasing]
        if not found:
            continue
        word, (chinese, latin) = rng.choice(found)
        others = [other for other in chinese if other != word]
        choices = latin if latin and (not others or rng.random() < 0.35) else others
        if choices:
            yield f"{source}:{row_id}", phrasing.replace(word, rng.choice(choices), 1), rng.choice(phrasings), ""


def misspelt(row, rng):
    """English phrasings with a slip of the keyboard in two words, each with a phrasing of the row."""
    source, row_id, question, _, similar, _ = row
    if source != "merchant_en":
        return
    phrasings = [question, *similar]
    for phrasing in phrasings:
        words = phrasing.split(" ")
        long = [place for place, word in enumerate(words) if len(word) > 3 and word.isalpha()]
        for place in rng.sample(long, min(2, len(long))):
            word, at = words[place], rng.randrange(1, len(words[place]) - 1)
            slips = (word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:], word[:at] + word[at + 1] + word[at] + word[at + 2 :])
            words[place] = rng.choice(slips)
        yield f"{source}:{row_id}", " ".join(words), rng.choice(phrasings), ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pack", type=Path, default=Path("knowledge/starter"))
    parser.add_argument("--out", type=Path, default=Path("merchant_pairs.jsonl.gz"))
    parser.add_argument("--lexicon", type=Path, help="also words for the same thing: lexicon.txt")
    parser.add_argument("--mates", type=int, default=3, help="other phrasings each phrasing is paired with")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    pairs = [pair for row in read_rows(args.pack) for pair in row_pairs(row, args.mates, rng)]
    pairs += [pair for section in read_sections(args.pack) for pair in section_pairs(section)]
    pairs += [pair for row in read_rows(args.pack) for _ in range(2) for pair in misspelt(row, rng)]
    if args.lexicon:
        lexicon = list(read_lexicon(args.lexicon))
        pairs += [pair for at, words in enumerate(lexicon) for pair in lexicon_pairs(at, words)]
        pairs += [pair for row in read_rows(args.pack) for _ in range(2) for pair in reworded(row, lexicon, rng)]
    # A fixed time stamp keeps the file the same from run to run.
    with open(args.out, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as file:
        for pair in pairs:
            file.write((json.dumps(pair, ensure_ascii=False) + "\n").encode())
    print(f"{len(pairs)} pairs in {args.out}")


if __name__ == "__main__":
    main()
