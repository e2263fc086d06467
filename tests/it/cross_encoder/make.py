"""Makes the tiny cross-encoder of the tests: it has the inputs and the output of a real one, and scores a
text by the characters it shares with the question. Run: pip install onnx numpy; python make.py"""

import json
from collections import Counter
from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save

here = Path(__file__).resolve().parent
CHARACTERS, WIDTH = 400, 32

texts = "".join(path.read_text("utf-8") for path in sorted((here.parents[2] / "knowledge/eval").glob("*.jsonl")))
common = [c for c, _ in Counter(c for c in texts if not c.isspace()).most_common(CHARACTERS)]
vocabulary = {"[PAD]": 0, "[UNK]": 1} | {c: i + 2 for i, c in enumerate(common)}
special = [
    {"id": i, "content": c, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    for c, i in (("[PAD]", 0), ("[UNK]", 1))
]
tokenizer = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": special,
    "normalizer": None,
    "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "[\\s\\S]"}, "behavior": "Isolated", "invert": False},
    "post_processor": None,
    "decoder": None,
    "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
}
for name, content in {
    "tokenizer.json": tokenizer,
    "config.json": {"pad_token_id": 0},
    "special_tokens_map.json": {"pad_token": "[PAD]", "unk_token": "[UNK]"},
    "tokenizer_config.json": {"model_max_length": 128, "pad_token": "[PAD]", "unk_token": "[UNK]"},
}.items():
    (here / name).write_text(json.dumps(content, ensure_ascii=False, indent=None) + "\n", "utf-8")

table = np.random.default_rng(7).normal(size=(len(vocabulary), WIDTH)).astype(np.float32)
table[:2] = 0.0
constants = {"table": table, "one": np.float32(1), "small": np.float32(1e-3), "scale": np.float32(8), "shift": np.float32(4)}
node = helper.make_node
graph = helper.make_graph(
    [
        node("Gather", ["table", "input_ids"], ["vectors"]),
        node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        node("Cast", ["token_type_ids"], ["second"], to=TensorProto.FLOAT),
        node("Sub", ["one", "second"], ["first"]),
        node("Mul", ["first", "mask"], ["is_question"]),
        node("Mul", ["second", "mask"], ["is_text"]),
        *(
            step
            for part in ("question", "text")
            for step in (
                node("Unsqueeze", [f"is_{part}"], [f"{part}_row"], axes=[1]),
                node("MatMul", [f"{part}_row", "vectors"], [f"{part}_sum"]),
                node("Squeeze", [f"{part}_sum"], [part], axes=[1]),
                node("Mul", [part, part], [f"{part}_squares"]),
                node("ReduceSum", [f"{part}_squares"], [f"{part}_square"], axes=[1], keepdims=1),
                node("Add", [f"{part}_square", "small"], [f"{part}_safe"]),
                node("Sqrt", [f"{part}_safe"], [f"{part}_length"]),
            )
        ),
        node("Mul", ["question", "text"], ["products"]),
        node("ReduceSum", ["products"], ["product"], axes=[1], keepdims=1),
        node("Mul", ["question_length", "text_length"], ["lengths"]),
        node("Div", ["product", "lengths"], ["cosine"]),
        node("Mul", ["cosine", "scale"], ["scaled"]),
        node("Sub", ["scaled", "shift"], ["logits"]),
    ],
    "tiny_cross_encoder",
    [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"]) for name in ("input_ids", "attention_mask", "token_type_ids")],
    [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1])],
    [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
checker.check_model(model)
save(model, here / "model.onnx")
