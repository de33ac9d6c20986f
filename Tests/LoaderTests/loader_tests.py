"""What `record: messages` writes, read by the programs that train on it.

For each schema a small file goes through the real program. The result is loaded by `datasets`, and rendered by chat
templates with `transformers`: every content, tool and argument must come out, once and in order. Pairs must suit TRL.

`make loaders` installs the packages, and runs this with SLUICE_BINARY set. Templates are those that TRL ships in
`trl/chat_templates`, which are the models' own, and ChatML as the documentation of transformers has it.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import unittest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

try:
    import datasets
    import jinja2
    import pyarrow.json
    import tokenizers
    import transformers
    import trl
    from trl import data_utils
except ImportError as missing:
    print(f"loaders: skipped: {missing}; `make loaders` installs what is needed", file=sys.stderr)
    sys.exit(0)

datasets.disable_progress_bars()

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.environ.get("SLUICE_BINARY", os.path.join(ROOT, ".build", "release", "sluice"))

CHATML = (
    "{%- for message in messages %}{{- '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{%- endfor %}"
)


def shipped(name):
    with open(os.path.join(os.path.dirname(trl.__file__), "chat_templates", name + ".jinja")) as file:
        return file.read()


# Some models' templates want turns of user and assistant by turns, and none of a tool.
PLAIN = ["chatml", "qwen2_5", "qwen3", "llama3", "llama3_1", "phi3", "gemma3", "glm4moe"]
TOOLS = ["qwen2_5", "qwen3", "llama3_1", "glm4moe"]


def tokenizer(template):
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    made.chat_template = CHATML if template == "chatml" else shipped(template)
    return made


def function(name, **properties):
    return {
        "type": "function",
        "function": {
            "name": name, "description": f"does {name}",
            "parameters": {"type": "object", "properties": {k: {"type": v} for k, v in properties.items()}},
        },
    }


WEATHER, ADD = function("weather", city="string"), function("add", a="number", b="array")
CALL = {"name": "weather", "arguments": {"city": "Köln"}}
CALL_IN_STRING = {"name": "weather", "arguments": json.dumps(CALL["arguments"])}

TALK = ["be kind", "a \"quoted\"\nquestion", "an answer", "and then?", "the end é"]


def openai(*contents, first="user"):
    roles = ["user", "assistant"] if first == "user" else ["assistant", "user"]
    return [{"role": roles[i % 2], "content": c} for i, c in enumerate(contents)]


def sharegpt(*contents):
    return [{"from": ["human", "gpt"][i % 2], "value": c} for i, c in enumerate(contents)]


def parts(*texts):
    return [{"type": "text", "text": text} for text in texts]


# Schema, record, and what a template has to render, in this order.
SCHEMAS = [
    ("messages", {"messages": [{"role": "system", "content": TALK[0]}] + openai(*TALK[1:])}, TALK),
    ("messages with weights and names", {
        "messages": [{"role": "user", "content": "q", "name": "ann"}, {"role": "assistant", "content": "r", "weight": 0}]
    }, ["q", "r"]),
    ("messages with parts", {
        "messages": [{"role": "user", "content": parts("q1 ", "q2")}, {"role": "assistant", "content": parts("r")}]
    }, ["q1 q2", "r"]),
    ("sharegpt", {"system": TALK[0], "conversations": sharegpt(*TALK[1:])}, TALK),
    ("sharegpt, system in the turns", {
        "conversations": [{"from": "system", "value": TALK[0]}] + sharegpt(*TALK[1:])}, TALK),
    ("alpaca", {"instruction": "do", "input": "this", "output": "done"}, ["do", "this", "done"]),
    ("alpaca with history", {
        "system": TALK[0], "history": [[TALK[1], TALK[2]]], "instruction": TALK[3], "input": "", "output": TALK[4]
    }, TALK),
    ("prompt and completion", {"prompt": "q", "completion": "r"}, ["q", "r"]),
    ("TRL's prompt and completion", {
        "prompt": openai(*TALK[1:4]), "completion": openai(TALK[4], first="assistant")}, TALK[1:]),
    ("prompt and response", {"prompt": "q", "response": "r", "system": "s"}, ["s", "q", "r"]),
    ("query and response", {"query": "q", "response": "r"}, ["q", "r"]),
    ("question and answer", {"question": "q", "answer": "r"}, ["q", "r"]),
    ("question and response", {"system_prompt": "s", "question": "q", "response": "r"}, ["s", "q", "r"]),
    ("input and output", {"input": "q", "output": "r"}, ["q", "r"]),
]

# A content with an image, and one without: with `datasets`, lists and strings load from one file, too.
WITH_IMAGES = [
    {"messages": [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x.png"}}] + parts("what?")},
        {"role": "assistant", "content": parts("a cat")}]},
    {"messages": openai("q", "r")},
]

WITH_TOOLS = [
    ("tool calls", {
        "messages": [
            {"role": "user", "content": "warm?"},
            {"role": "assistant", "content": None,
             "tool_calls": [{"id": "c1", "type": "function", "function": CALL_IN_STRING}]},
            {"role": "tool", "tool_call_id": "c1", "content": "12 degrees"}, {"role": "assistant", "content": "cold"},
        ],
        "tools": [WEATHER],
    }),
    ("tool calls with objects", {
        "messages": [
            {"role": "user", "content": "warm?"},
            {"role": "assistant", "tool_calls": [{"type": "function", "function": CALL}]},
            {"role": "tool", "content": "12 degrees"}, {"role": "assistant", "content": "cold"},
        ],
        "tools": json.dumps([WEATHER], indent=1),
    }),
    ("the old function call", {
        "messages": [
            {"role": "user", "content": "warm?"}, {"role": "assistant", "content": None, "function_call": CALL_IN_STRING},
            {"role": "function", "name": "weather", "content": "12 degrees"}, {"role": "assistant", "content": "cold"},
        ],
        "tools": [WEATHER],
    }),
    ("sharegpt's function_call", {
        "conversations": [
            {"from": "human", "value": "warm?"}, {"from": "function_call", "value": json.dumps(CALL)},
            {"from": "observation", "value": "12 degrees"}, {"from": "gpt", "value": "cold"},
        ],
        "tools": json.dumps([WEATHER]),
    }),
]

PAIRS = [
    ("pair of texts", {"prompt": "q", "chosen": "good", "rejected": "bad"}, True),
    ("pair with turns", {
        "prompt": openai("q"), "chosen": openai("good", first="assistant"), "rejected": openai("bad", first="assistant")
    }, True),
    ("pair of conversations", {"chosen": openai("q", "good"), "rejected": openai("q", "bad")}, False),
    ("pair of conversations with their prompt", {
        "prompt": "q", "chosen": openai("q", "good"), "rejected": openai("q", "bad"), "messages": openai("q", "good")
    }, True),
    ("pair of LLaMA-Factory", {
        "conversations": sharegpt("q"), "chosen": {"from": "gpt", "value": "good"},
        "rejected": {"from": "gpt", "value": "bad"}
    }, True),
    ("pair of Alpaca", {"instruction": "q", "chosen": "good", "rejected": "bad"}, True),
]


def without_nulls(value):
    """A value without the nulls that columns fill in."""
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    return [without_nulls(v) for v in value] if isinstance(value, list) else value


def parsed(value):
    """A record of `tools: strings` as templates want it; docs/chat.md has this function."""
    if isinstance(value, list):
        return [parsed(v) for v in value]
    if isinstance(value, dict):
        json_keys = ("arguments", "tools")
        return {
            k: json.loads(v) if k in json_keys and isinstance(v, str) else parsed(v)
            for k, v in value.items() if v is not None
        }
    return value


class LoaderTests(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="sluice-loaders-")
        self.addCleanup(shutil.rmtree, self.folder)

    def write(self, records, options="{}"):
        """The file that the program makes of the records."""
        with open(os.path.join(self.folder, "in.jsonl"), "w") as file:
            file.writelines(json.dumps(r) + "\n" for r in records)
        definition = os.path.join(self.folder, "definition.yaml")
        with open(definition, "w") as file:
            file.write(
                f"sluice: 1\ninput: {{files: [in.jsonl]}}\nstages: [{{format: {options}}}]\n"
                "output: {directory: out, record: messages, compression: none}\n")
        subprocess.run([BINARY, "run", definition, "--force", "--progress", "none"], check=True, capture_output=True)
        return os.path.join(self.folder, "out", "kept.jsonl")

    def load(self, path):
        return datasets.load_dataset(
            "json", data_files=path, split="train", cache_dir=os.path.join(self.folder, "cache"))

    def curate(self, records, options="{}"):
        """The rows as `datasets` loads them, and as the lines have them, which must be the same."""
        path = self.write(records, options)
        with open(path) as file:
            lines = [json.loads(line) for line in file]
        self.assertEqual(len(lines), len(records), "records were dropped")
        rows = [{k: v for k, v in row.items() if v is not None} for row in self.load(path)]
        self.assertEqual(rows, lines)
        return rows

    def expect_in_order(self, text, needles, where):
        place = 0
        for needle in needles:
            found = text.find(needle, place)
            self.assertGreaterEqual(found, 0, f"{where}: {needle!r} is not in its place in {text!r}")
            place = found + len(needle)

    def render(self, template, row):
        return tokenizer(template).apply_chat_template(row["messages"], tools=row.get("tools"), tokenize=False)

    def test_every_schema_loads_and_renders(self):
        for name, record, needles in SCHEMAS:
            [row] = self.curate([record])
            for template in PLAIN:
                with self.subTest(schema=name, template=template):
                    self.expect_in_order(self.render(template, row), needles, name)

    def test_all_schemas_load_from_one_file(self):
        rows = self.curate([r for _, r, _ in SCHEMAS] + [r for _, r in WITH_TOOLS], "{carry: [id]}")
        for row, (name, _, needles) in zip(rows, SCHEMAS):
            self.expect_in_order(self.render("qwen2_5", row), needles, name)

    def test_tools_and_calls_are_rendered(self):
        rendered = {}
        for name, record in WITH_TOOLS:
            [row] = self.curate([record])
            for template in TOOLS:
                text = self.render(template, row)
                with self.subTest(schema=name, template=template):
                    # A template names the tool in its declaration, and again in the call.
                    needles = ["does weather", "warm?", "weather", "city", "Köln", "12 degrees", "cold"]
                    self.expect_in_order(text, needles, name)
                    # The arguments are an object, and no string of one.
                    self.assertNotIn('\\"city\\"', text)
                rendered.setdefault(template, set()).add(text)
        # The same exchange is the same text, however it was spelled.
        self.assertEqual({t: len(texts) for t, texts in rendered.items()}, {t: 1 for t in TOOLS})

    def test_several_calls_and_reasoning(self):
        record = {
            "messages": [
                {"role": "user", "content": "both?"},
                {"role": "assistant", "content": "", "reasoning_content": "I need both",
                 "tool_calls": [{"function": CALL_IN_STRING}, {"function": {"name": "add", "arguments": '{"a": 1, "b": [2.50]}'}}]},
                {"role": "tool", "content": "12"}, {"role": "tool", "content": "3"}, {"role": "assistant", "content": "ok"},
            ],
            "tools": [WEATHER, ADD],
        }
        [row] = self.curate([record])
        text = self.render("qwen3", row)
        self.expect_in_order(
            text, ["both?", "I need both", "weather", '{"city": "Köln"}', "add", '{"a": 1, "b": [2.5]}', "12", "3", "ok"], "calls")

    def test_pairs_suit_trl(self):
        for name, record, has_prompt in PAIRS:
            [row] = self.curate([record])
            with self.subTest(schema=name):
                self.assertEqual("prompt" in row, has_prompt)
                self.assertTrue(data_utils.is_conversational(row))
                row = data_utils.maybe_extract_prompt(row)
                self.assertEqual([m["content"] for m in row["prompt"]], ["q"])
                made = data_utils.apply_chat_template(row, tokenizer("qwen2_5"))
                self.assertIn("q", made["prompt"])
                self.assertTrue(made["chosen"].startswith("good"), made)
                self.assertTrue(made["rejected"].startswith("bad"), made)
        self.curate([r for _, r, _ in PAIRS])

    def test_messages_suit_trl(self):
        for name, record, _ in SCHEMAS:
            [row] = self.curate([record])
            with self.subTest(schema=name):
                self.assertTrue(data_utils.is_conversational(row))
                self.assertTrue(data_utils.apply_chat_template(row, tokenizer("qwen2_5"))["text"])

    def test_carried_fields_load_beside_the_messages(self):
        records = [dict(r, id=i, meta={"lang": "de", "x": i}) for i, (_, r, _) in enumerate(SCHEMAS)]
        for options, meta in [("{carry: [id, meta.lang]}", {"lang": "de"}), ("{carry: all}", None)]:
            rows = self.curate(records, options)
            self.assertEqual([row["id"] for row in rows], list(range(len(records))))
            self.assertEqual([row["meta"] for row in rows], [meta or r["meta"] for r in records])

    def test_images_load_as_they_are(self):
        rows = self.curate(WITH_IMAGES)
        self.assertEqual(rows[0], WITH_IMAGES[0])
        text = self.render("qwen2_5_vl", rows[0])
        self.expect_in_order(text, ["<|vision_start|>", "what?", "a cat"], "image")

    def test_streaming_gives_the_same(self):
        path = self.write([r for _, r in WITH_TOOLS])
        stream = datasets.load_dataset("json", data_files=path, split="train", streaming=True)
        self.assertEqual(list(stream), list(self.load(path)))

    def test_plain_columns_need_strings(self):
        """Arrow's own types, as `datasets` before its `Json` type has them, mix the keys of different tools."""
        other = {
            "messages": [
                {"role": "user", "content": "1 + 2"},
                {"role": "assistant", "tool_calls": [{"function": {"name": "add", "arguments": {"a": 1, "b": [2]}}}]},
                {"role": "tool", "content": "3"}, {"role": "assistant", "content": "three"},
            ],
            "tools": [ADD],
        }
        records = [r for _, r in WITH_TOOLS] + [other, SCHEMAS[0][1]]
        objects = self.curate(records)
        mixed = pyarrow.json.read_json(os.path.join(self.folder, "out", "kept.jsonl")).to_pylist()
        arguments = mixed[0]["messages"][1]["tool_calls"][0]["function"]["arguments"]
        self.assertEqual(arguments, {"city": "Köln", "a": None, "b": None})
        # Nulls that columns fill in look like calls to a template; transformers takes them out before it renders.
        plain = jinja2.Environment().from_string(shipped("llama3_1"))
        self.assertIn("be kind", plain.render(messages=objects[-1]["messages"]))
        with self.assertRaises(TypeError):
            plain.render(messages=mixed[-1]["messages"])
        self.write(records, "{tools: strings}")
        strings = pyarrow.json.read_json(os.path.join(self.folder, "out", "kept.jsonl")).to_pylist()
        self.assertEqual([parsed(row) for row in strings], objects)
        # TRL's trainers parse `tools` themselves, but no arguments: as a string, they are quoted twice.
        row = without_nulls(strings[0])
        row["tools"] = json.loads(row["tools"])
        self.assertIn('\\"city\\"', self.render("qwen2_5", row))

    def test_random_conversations_in_every_schema(self):
        draws = random.Random(5)
        pieces = ["a", "B c", "é", '"', "\\", "\n", "\t", "😀", "\u0001", "<b>", "{{ x }}", "{% y %}", "数", "&amp;"]

        def text(number):
            return f"t{number}." + "".join(draws.choice(pieces) for _ in range(draws.randrange(9))) + "."

        records, expected = [], []
        for number in range(60):
            contents = [text(f"{number}-{i}") for i in range(2 * draws.randrange(1, 5))]
            last = contents[-2:]
            history = [contents[i:i + 2] for i in range(0, len(contents) - 2, 2)]
            records += [
                {"messages": openai(*contents)}, {"conversations": sharegpt(*contents)},
                {"instruction": last[0], "output": last[1], "history": history},
                {"prompt": openai(*contents[:-1]), "completion": openai(contents[-1], first="assistant")},
            ]
            expected += 4 * [openai(*contents)]
        rows = self.curate(records)
        for row, messages in zip(rows, expected):
            self.assertEqual(row["messages"], messages)
            rendered = self.render("chatml", row)
            self.assertEqual(
                rendered, "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages))


if __name__ == "__main__":
    if not os.access(BINARY, os.X_OK):
        print(f"loaders: skipped: there is no program {BINARY}; run `make build`", file=sys.stderr)
        sys.exit(0)
    print(
        f"loaders: datasets {datasets.__version__}, transformers {transformers.__version__}, trl {trl.__version__}",
        file=sys.stderr)
    unittest.main()
