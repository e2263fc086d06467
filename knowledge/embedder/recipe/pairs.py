"""Makes training pairs in the merchants' own language from the starter knowledge pack, a lexicon of
words for the same thing, and question templates.

    python pairs.py --pack knowledge/starter --docs shared/data --out merchant_pairs.jsonl.gz

One line per pair, as in train_pairs.jsonl.gz: [tag, a, b, hard negative or ""]. The tag is
`source:group`. Pairs of one group state the same fact and are never each other's negatives; a batch
holds one source only, so a Chinese row and the English row of the same rule never meet as negatives.

knowledge/eval is for measuring and must never be an input here, and of the documents those that an
evaluation question is about are left out. Needs pypinyin (for typos of the same sound).
"""

import argparse
import csv
import gzip
import json
import random
import re
from collections import defaultdict
from pathlib import Path

from pypinyin import lazy_pinyin

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
    """(file, title, heading, text, similar, not) of every `##` section of the policy pages.

    A comment under the heading holds the fields: `<!-- similar: a ## b -->`.
    """
    for path in sorted((pack / "policies").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        title = re.search(r"^# (.+)$", text, re.M).group(1).strip()
        for part in re.split(r"^## ", text, flags=re.M)[1:]:
            heading, _, body = part.partition("\n")
            fields = {}
            if comment := re.match(r"\s*<!--(.*?)-->", body, re.S):
                body = body[comment.end() :]
                for line in comment.group(1).strip().splitlines():
                    name, _, value = re.sub("：", ":", line, count=1).partition(":")
                    fields[name.strip()] = [phrase.strip() for phrase in value.split("##") if phrase.strip()]
            similar = fields.get("similar") or fields.get("相似问题") or []
            negatives = fields.get("not") or fields.get("反例问题") or []
            yield path.name, title, heading.strip(), body.strip(), similar, negatives


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


def section_pairs(section, mates, rng):
    """The heading with the section and its paragraphs, and every phrasing with the section and others."""
    file, title, heading, body, similar, negatives = section
    source = "policy_zh" if file.endswith(".zh.md") else "policy_en"
    tag, path = f"{source}:{file}#{heading}", title + PATH + heading
    yield tag, path, body, ""
    yield tag, heading, body, ""
    for paragraph in re.split(r"\n\s*\n", body):
        if len(paragraph) > 20:
            yield tag, path, paragraph, ""
            # A paragraph and its section: what a question in the paragraph's words should find.
            yield tag, paragraph, f"{path}\n{body}", ""
    hard = lambda: rng.choice(negatives) if negatives else ""
    for phrasing in similar:
        yield tag, phrasing, f"{path}\n{body}", hard()
        others = [other for other in similar if other != phrasing]
        for other in rng.sample(others, min(mates, len(others))):
            yield tag, phrasing, other, hard()


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


def same_sound(rows):
    """Ideographs of the pack by their sound, for typos as an input method makes them."""
    sounds = defaultdict(list)
    for char in sorted({char for row in rows for text in (row[2], *row[4]) for char in text if "\u4e00" <= char <= "\u9fff"}):
        sounds[lazy_pinyin(char)[0]].append(char)
    return sounds


def mistyped(row, sounds, rng):
    """Chinese phrasings with one or two wrong, lost or spelt-out characters, each with a phrasing of the row."""
    source, row_id, question, _, similar, _ = row
    if source != "merchant_zh":
        return
    phrasings = [question, *similar]
    for phrasing in phrasings:
        chars = list(phrasing)
        places = [place for place, char in enumerate(chars) if "\u4e00" <= char <= "\u9fff"]
        for place in rng.sample(places, min(len(places) // 3, rng.choice((1, 1, 2)))):
            sound = lazy_pinyin(chars[place])[0]
            others = [char for char in sounds[sound] if char != chars[place]]
            slip = rng.random()
            chars[place] = rng.choice(others) if others and slip < 0.75 else "" if slip < 0.9 else sound
        yield f"{source}:{row_id}", "".join(chars), rng.choice(phrasings), ""


def read_templates(folder):
    """(groups of templates that ask the same, values of the slots)."""
    text = (folder / "templates.txt").read_text(encoding="utf-8")
    groups = [group.splitlines() for group in re.split(r"\n\s*\n", text.strip())]
    slots = {}
    for line in (folder / "slots.txt").read_text(encoding="utf-8").splitlines():
        name, _, values = line.partition(":")
        slots[name.strip()] = [value.strip() for value in values.split("|") if value.strip()]
    return groups, slots


def template_pairs(groups, slots, lexicon, count, rng):
    """Two templates of a group with the same values, in the second partly by other words for them."""
    others, english = defaultdict(list), defaultdict(list)
    for chinese, latin in lexicon:
        for words in (chinese, latin):
            for word in words:
                others[word] += [other for other in words if other != word]
        for word in chinese:
            english[word] += latin

    def filled(template, values, reword):
        def value(slot):
            word, luck = values[slot.group(1)], rng.random() if reword else 1
            return rng.choice(others[word]) if luck < 0.6 and others[word] else rng.choice(english[word]) if luck < 0.7 and english[word] else word
        return re.sub(r"\{(\w+)\}", value, template)

    languages = [[group for group in groups if bool(re.search(r"[\u4e00-\u9fff]", group[0])) == chinese] for chinese in (True, False)]
    for _ in range(count):
        english_one = rng.random() >= 0.7
        at = rng.randrange(len(languages[english_one]))
        group = languages[english_one][at]
        names = sorted({name for template in group for name in re.findall(r"\{(\w+)\}", template)})
        values = {name: rng.choice(slots[name + ".en" * english_one]) for name in names}
        a, b = rng.sample(group, 2)
        tag = f"template_{'en' if english_one else 'zh'}:{at} {' '.join(values.values())}"
        yield tag, filled(a, values, False), filled(b, values, True), ""


def document_pairs(folder, rng):
    """A sentence of a documentation section and the rest of it, evaluation sections left out."""
    def read(path):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return [json.loads(line) for line in file]
    answers = {entry["id"]: entry["answer"] for entry in read(folder / "eval/adobe_zh.entries.jsonl.gz")}
    asked = {answers[name] for query in read(folder / "eval/adobe_zh.queries.jsonl.gz") for name in query["relevant"]}
    for language, shortest in (("zh", 8), ("en", 25)):
        for at, section in enumerate(read(folder / f"adobe_commerce_docs_{language}.jsonl.gz")):
            sentences = [part.strip() for part in re.split(r"(?<=[。！？])|(?<=[.!?])\s+|\n", section["answer"])]
            sentences = [sentence for sentence in sentences if len(sentence) > shortest]
            if section["answer"] not in asked and len(sentences) >= 3:
                for place in rng.sample(range(len(sentences)), 2):
                    rest = " ".join(sentences[:place] + sentences[place + 1 :])
                    yield f"document_{language}:{at}", sentences[place][:200], rest[:1200], ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pack", type=Path, default=Path("knowledge/starter"))
    parser.add_argument("--out", type=Path, default=Path("merchant_pairs.jsonl.gz"))
    parser.add_argument("--recipe", type=Path, default=Path(__file__).parent, help="the folder of lexicon.txt, templates.txt, slots.txt")
    parser.add_argument("--docs", type=Path, help="also documentation sections: the folder of adobe_commerce_docs_*.jsonl.gz")
    parser.add_argument("--mates", type=int, default=4, help="other phrasings each phrasing is paired with")
    parser.add_argument("--templates", type=int, default=20_000, help="pairs made from templates")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    rows = list(read_rows(args.pack))
    lexicon = list(read_lexicon(args.recipe / "lexicon.txt"))
    pairs = [pair for row in rows for pair in row_pairs(row, args.mates, rng)]
    pairs += [pair for section in read_sections(args.pack) for pair in section_pairs(section, args.mates, rng)]
    pairs += [pair for row in rows for _ in range(2) for pair in misspelt(row, rng)]
    sounds = same_sound(rows)
    pairs += [pair for row in rows for pair in mistyped(row, sounds, rng)]
    pairs += [pair for at, words in enumerate(lexicon) for pair in lexicon_pairs(at, words)]
    pairs += [pair for row in rows for _ in range(2) for pair in reworded(row, lexicon, rng)]
    pairs += list(template_pairs(*read_templates(args.recipe), lexicon, args.templates, rng))
    if args.docs:
        pairs += list(document_pairs(args.docs, rng))
    # A fixed time stamp keeps the file the same from run to run.
    with open(args.out, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as file:
        for pair in pairs:
            file.write((json.dumps(pair, ensure_ascii=False) + "\n").encode())
    print(f"{len(pairs)} pairs in {args.out}")


if __name__ == "__main__":
    main()
