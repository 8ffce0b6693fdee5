"""The entailment strategy with a real, tiny ONNX model, built here.

The model counts how often "lyon" stands in the premise (p) and in the hypothesis (h), and gives
the logits contradiction 0, entailment 2 · p · h - 1 and neutral 0. So what it must say of any text
can be worked out by hand.
"""

import json
import math
import re
import sys
from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from question_records import Item, scored
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from workflow_scripts.config.load import read_config
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.records import Prediction, custom_id
from workflow_scripts.metrics.entailment import EntailmentModel
from workflow_scripts.metrics.settings import Unsupported
from workflow_scripts.metrics.unsupported import Claim, support_by
from workflow_scripts.tasks.settings import ScoreSettings

REPOSITORY = Path(__file__).parent.parent
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "lyon", "she", "lives", "in", "bremen"]
LYON = WORDS.index("lyon")
LONGEST = 64


def write_model(folder, with_types=True, labels=("contradiction", "entailment", "neutral")):
    """A model that pads with "lyon", so that it goes wrong where padding is not masked."""
    folder.mkdir(parents=True, exist_ok=True)
    inputs = ["input_ids", "attention_mask", *(["token_type_ids"] if with_types else [])]
    types = "token_type_ids" if with_types else "no_types"
    nodes = [
        helper.make_node("Equal", ["input_ids", "lyon"], ["is_lyon"]),
        helper.make_node("Cast", ["is_lyon"], ["as_int"], to=TensorProto.INT64),
        helper.make_node("Mul", ["as_int", "attention_mask"], ["seen"]),
        helper.make_node("Mul", ["attention_mask", "zero"], ["no_types"]),
        helper.make_node("Mul", ["seen", types], ["in_hypothesis"]),
        helper.make_node("Sub", ["seen", "in_hypothesis"], ["in_premise"]),
        helper.make_node("ReduceSum", ["in_hypothesis", "axis"], ["h"], keepdims=1),
        helper.make_node("ReduceSum", ["in_premise", "axis"], ["p"], keepdims=1),
        helper.make_node("Mul", ["p", "h" if with_types else "p"], ["ph"]),
        helper.make_node("Cast", ["ph"], ["product"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["product", "two"], ["doubled"]),
        helper.make_node("Sub", ["doubled", "one"], ["entailment"]),
        helper.make_node("Mul", ["product", "nothing"], ["other"]),
        helper.make_node("Concat", ["other", "entailment", "other"], ["logits"], axis=1),
    ]
    constants = [
        helper.make_tensor("lyon", TensorProto.INT64, [], [LYON]),
        helper.make_tensor("zero", TensorProto.INT64, [], [0]),
        helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
        helper.make_tensor("two", TensorProto.FLOAT, [], [2.0]),
        helper.make_tensor("one", TensorProto.FLOAT, [], [1.0]),
        helper.make_tensor("nothing", TensorProto.FLOAT, [], [0.0]),
    ]
    shape = ["batch", "tokens"]
    graph = helper.make_graph(
        nodes,
        "lyon",
        [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in inputs],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "model.onnx")

    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))  # noqa: S106 - no password
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", WORDS.index("[CLS]")), ("[SEP]", WORDS.index("[SEP]"))],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "id2label": {str(number): label for number, label in enumerate(labels)},
        "max_position_embeddings": LONGEST,
        "pad_token_id": LYON,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("nli"))


def load(folder):
    return EntailmentModel(*(folder / n for n in ("model.onnx", "tokenizer.json", "config.json")))


@pytest.fixture(scope="module")
def model(folder):
    return load(folder)


def probability(p: int, h: int) -> float:
    weight = math.exp(2 * p * h - 1)
    return weight / (weight + 2)


@pytest.mark.parametrize(
    ("passage", "answer", "p", "h"),
    [
        ("She lives in Lyon.", "Lyon", 1, 1),
        ("She lives in Lyon.", "Bremen", 1, 0),
        ("She lives in Bremen.", "Lyon", 0, 1),
        ("Lyon, Lyon", "Lyon and Lyon", 2, 2),
        ("", "Lyon", 0, 1),
    ],
)
def test_support_is_the_probability_of_entailment(model, passage, answer, p, h):
    (support,) = model([Claim("Where does she live?", answer, passage)])
    assert support == pytest.approx(probability(p, h), abs=1e-6)


def test_of_a_long_passage_the_window_with_the_best_support_counts(model):
    far = "she lives in bremen " * 200
    for passage in (far + "lyon", "lyon " + far, far + "lyon " + far):
        assert model([Claim("Where?", "Lyon", passage)]) == pytest.approx([probability(1, 1)])
    assert model([Claim("Where?", "Lyon", far)]) == pytest.approx([probability(0, 1)])


def test_of_a_long_answer_as_much_counts_as_fits(model):
    long = "Lyon " + "bremen " * 500
    assert model([Claim("Where?", long, "Lyon")]) == pytest.approx([probability(1, 1)])
    assert model([Claim("Where?", "bremen " * 500 + "Lyon", "Lyon")]) == pytest.approx(
        [probability(1, 0)]
    )


claims = st.builds(
    Claim,
    st.sampled_from(["Where?", "Where does she live?"]),
    st.sampled_from(["Lyon", "Bremen", "Lyon, Lyon"]),
    st.lists(st.sampled_from(["she", "lives", "Lyon", "."]), max_size=90).map(" ".join),
)


@settings(max_examples=25)
@given(st.lists(claims, max_size=40))
def test_what_else_is_asked_changes_nothing(model, asked):
    alone = [model([claim])[0] for claim in asked]
    assert model(asked) == pytest.approx(alone, abs=1e-6)


def test_a_model_may_do_without_token_types(tmp_path):
    without = load(write_model(tmp_path, with_types=False))
    assert without([Claim("Where?", "Bremen", "Lyon")]) == pytest.approx([probability(1, 1)])


def test_the_strategy_scores_predictions(folder):
    rule = Unsupported(strategy="nli", model=folder.as_posix(), threshold=0.5)
    item = Item(
        id="1",
        dataset="d",
        question="Where does she live?",
        answers=["Lyon"],
        context="She lives in Lyon.",
        cluster_id="1",
    )
    predictions = [
        Prediction(
            custom_id=custom_id("d", "1", "control", "0.0", sample, "open_book"),
            dataset="d",
            item_id="1",
            condition="control",
            temp="0.0",
            sample_index=sample,
            type="open_book",
            request_id="r",
            finish_reason="stop",
            response_text=text,
        )
        for sample, text in enumerate(["Bremen", "in Lyon", "I don't know."])
    ]
    settings = ScoreSettings(unsupported=rule, abstention_phrases=[])
    _, rows = scored(predictions, {item.key: item}, settings)
    assert [row.number("support") for row in rows] == [
        pytest.approx(probability(1, 0), abs=1e-6),
        pytest.approx(probability(1, 1), abs=1e-6),
        None,
    ]
    assert [row.number("unsupported_rate") for row in rows] == [1, 0, 0]


def test_a_missing_package_is_told_with_the_command_that_installs_it(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    rule = Unsupported(strategy="nli", model=folder.as_posix())
    with pytest.raises(UserError, match=r"python -m pip install --requirement envs/nli\.txt"):
        support_by(rule)


def test_a_missing_model_is_told_with_its_path(tmp_path):
    rule = Unsupported(strategy="nli", model=(tmp_path / "nowhere").as_posix())
    with pytest.raises(UserError, match=r"nowhere/model\.onnx does not exist\. docs/scoring\.md"):
        support_by(rule)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_broken_file_is_told_with_its_folder(tmp_path, name):
    write_model(tmp_path)
    (tmp_path / name).write_text("no such thing", encoding="utf-8")
    with pytest.raises(UserError, match=re.escape(f"unsupported.model: {tmp_path.as_posix()}: ")):
        load(tmp_path)


def test_a_broken_config_is_told_with_its_path(tmp_path):
    write_model(tmp_path)
    (tmp_path / "config.json").write_text("[]", encoding="utf-8")
    with pytest.raises(UserError, match=r"config\.json: the record: "):
        load(tmp_path)


def test_a_model_for_something_else_is_refused(tmp_path):
    write_model(tmp_path, labels=("negative", "positive", "none"))
    with pytest.raises(UserError, match=r"config\.json: id2label has no label 'entailment'"):
        load(tmp_path)


def test_a_missing_model_is_told_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    config = tmp_path / "mine.yaml"
    demo = (REPOSITORY / "config/config.yaml").read_text(encoding="utf-8")
    config.write_text(
        demo.replace("strategy: sentence", "strategy: nli\n  model: models/nowhere"),
        encoding="utf-8",
    )
    with pytest.raises(
        UserError,
        match=r"line \d+: unsupported\.model: the entailment model's file "
        r"'models/nowhere/model\.onnx' does not exist",
    ):
        read_config(config)
