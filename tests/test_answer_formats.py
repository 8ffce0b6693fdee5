"""Answers and questions in the files of other tools: tests/data/answers, whose README says how
each was made. All are about the same three questions, which the same model answered.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY

from workflow_scripts.answers.imported import match
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.recorded import AnswersFile, RecordedAnswer
from workflow_scripts.datasets.answer_formats import read_answers
from workflow_scripts.datasets.items import read_items
from workflow_scripts.datasets.source import Source
from workflow_scripts.tasks.registry import TASKS

FOLDER = REPOSITORY / "tests/data/answers"
TASK = TASKS["closed_book"]

CHAD, FRANCE, SENEGAL = (
    "What is the capital of Chad?",
    "What is the capital of France?",
    "On which continent is Senegal?",
)
GOLD = {CHAD: ["N'Djamena", "Ndjamena"], FRANCE: ["Paris"], SENEGAL: ["Africa"]}
PLAIN = {
    (CHAD, None): ("N'Djamena", "stop"),
    (FRANCE, None): ("Paris", "stop"),
    (SENEGAL, None): ("North America", "stop"),
}
CAREFUL = PLAIN | {(FRANCE, None): ("I don't know", "length")}
"""What the model said under both system prompts, to all tools."""


def read(name: str, file_format: str, **how: Any) -> list[RecordedAnswer]:
    return read_answers(
        AnswersFile(path=(FOLDER / name).as_posix(), format=file_format, **how), arm="x"
    )


def said(answers: list[RecordedAnswer]) -> dict[tuple[str | None, int | None], tuple[Any, str]]:
    return {
        (each.question, each.sample_index): (each.response_text, each.finish_reason)
        for each in answers
    }


def test_inspect_logs_have_epochs_as_samples() -> None:
    """The ``.eval`` is compressed with Zstandard, as inspect-ai does by now."""
    answers = read("inspect.eval", "inspect")
    assert said(answers) == {
        (question, epoch): given for (question, _), given in CAREFUL.items() for epoch in (0, 1)
    }
    assert {each.item_id for each in answers} == {"chad", "france", "senegal"}
    assert {each.labels["model"] for each in answers} == {"resources/models/assay-demo.gguf"}
    assert all(each.latency_s is not None for each in answers)
    (france,) = (each for each in read("inspect.json", "inspect") if each.question == FRANCE)
    assert (france.sample_index, france.response_text) == (0, "I don't know")


def test_tools_that_asked_the_same_counted_the_same_tokens() -> None:
    """Inspect counts the tokens that its server had cached apart from the prompt's others."""
    careful = {"provider": "up", "prompt": "careful"}
    counted = [
        {each.question: (each.prompt_tokens, each.completion_tokens) for each in answers}
        for answers in (
            read("inspect.json", "inspect"),
            read("promptfoo.json", "promptfoo", where=careful),
        )
    ]
    assert counted[0] == counted[1]
    assert counted[0][FRANCE] == (57, 4)


def test_inspect_logs_with_deflated_members_are_read_too(tmp_path: Path) -> None:
    document = json.loads((FOLDER / "inspect.json").read_text("utf-8"))
    path = tmp_path / "old.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for sample in document["samples"]:
            name = f"samples/{sample['id']}_epoch_{sample['epoch']}.json"
            archive.writestr(name, json.dumps(sample))
        archive.writestr("header.json", "{}")
    found = read_answers(AnswersFile(path=path.as_posix(), format="inspect"))
    assert said(found) == said(read("inspect.json", "inspect"))


def test_an_error_and_a_chat_in_an_inspect_log(tmp_path: Path) -> None:
    chat = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": CHAD}, {"type": "image"}]},
    ]
    reasoned = [{"type": "reasoning", "reasoning": "Hm."}, {"type": "text", "text": "Ndjamena."}]
    choice = {"message": {"role": "assistant", "content": reasoned}, "stop_reason": "stop"}
    samples = [
        {"id": 1, "epoch": 1, "input": chat, "target": "Ndjamena", "output": {"choices": [choice]}},
        {"id": 2, "epoch": 1, "input": FRANCE, "target": "Paris", "output": {"choices": []},
         "error": {"message": "HTTP 500", "traceback": ""}},
    ]  # fmt: skip
    path = tmp_path / "log.json"
    path.write_text(json.dumps({"samples": samples}), "utf-8")
    one, two = read_answers(AnswersFile(path=path.as_posix(), format="inspect"))
    assert (one.question, one.response_text) == (CHAD, "Ndjamena.")
    assert (two.response_text, two.error) == (None, "HTTP 500")


def test_a_damaged_inspect_log_stops_with_its_member(tmp_path: Path) -> None:
    content = bytearray((FOLDER / "inspect.eval").read_bytes())
    place = content.index(b"samples/chad_epoch_1.json") + 200
    content[place : place + 20] = bytes(20)
    path = tmp_path / "damaged.eval"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"damaged.eval, samples/chad_epoch_1.json: damaged"):
        read_answers(AnswersFile(path=path.as_posix(), format="inspect"))


def test_lm_eval_filters_do_not_count_twice() -> None:
    answers = read("lm_eval_plain.jsonl", "lm_eval")
    assert said(answers) == PLAIN
    assert [each.item_id for each in answers] == ["0", "1", "2"]


@pytest.mark.parametrize("file_format", ["lm_eval", "promptfoo"])
def test_the_question_in_a_chat_is_its_last_message(tmp_path: Path, file_format: str) -> None:
    """So that two system prompts ask the same questions, also where none is called that."""
    name = FILES[file_format]
    text = (FOLDER / name).read_text("utf-8").replace('"question": ', '"asked": ')
    (tmp_path / name).write_text(text, "utf-8")
    file = AnswersFile(path=(tmp_path / name).as_posix(), format=file_format)
    asked = {each.question for each in read_answers(file)}
    before = "Answer the question in a few words.\n\nQuestion: "
    assert asked == {before + question for question in GOLD}


def lm_eval_line(**fields: Any) -> str:
    line = {"doc_id": 0, "doc": {"query": "?"}, "target": "yes", "resps": [["yes"]],
            "arguments": {"gen_args_0": {"arg_0": "Q: ?", "arg_1": {}}}}  # fmt: skip
    return json.dumps({**line, **fields}) + "\n"


def lm_eval(tmp_path: Path, text: str) -> list[RecordedAnswer]:
    (tmp_path / "samples.jsonl").write_text(text, "utf-8")
    path = (tmp_path / "samples.jsonl").as_posix()
    return read_answers(AnswersFile(path=path, format="lm_eval"))


def test_lm_eval_repeats_are_samples_and_gold_answers_have_many_forms(tmp_path: Path) -> None:
    answers = lm_eval(tmp_path, lm_eval_line(resps=[["yes", "no"]]))
    assert [(each.sample_index, each.response_text) for each in answers] == [(0, "yes"), (1, "no")]
    assert {each.question for each in answers} == {"Q: ?"}
    for fields, gold in (
        ({"target": "yes"}, ("yes",)),
        ({"target": "['yes', 'sure']"}, ("yes", "sure")),
        ({"target": "[sic]"}, ("[sic]",)),
        ({"doc": {"answers": {"text": ["a", "b", "a"]}}}, ("a", "b")),
        ({"doc": {"answer": {"value": "a", "aliases": ["b"]}}}, ("a", "b")),
        ({"doc": {"answer": ["a"]}}, ("a",)),
    ):
        (found,) = lm_eval(tmp_path, lm_eval_line(**fields))
        assert found.answers == gold


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (lm_eval_line(resps=[[["-0.5", "True"]], [["-1.5", "False"]]]),
         "line 1: resps: there is no generated text"),
        (lm_eval_line() + lm_eval_line(doc_id=None), "line 2: doc_id"),
        (lm_eval_line(resps=[]), "line 1: resps: is missing or empty"),
        (lm_eval_line(doc=3), "line 1, doc: expected a JSON object, found 3"),
    ],
)  # fmt: skip
def test_lm_eval_samples_that_do_not_fit_stop(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(UserError) as refused:
        lm_eval(tmp_path, text)
    assert problem in str(refused.value)


def test_promptfoo_answers_are_chosen_by_where() -> None:
    for prompt, expected in (("plain", PLAIN), ("careful", CAREFUL)):
        where = {"provider": "up", "prompt": prompt}
        assert said(read("promptfoo.json", "promptfoo", where=where)) == expected
    down = read("promptfoo.json", "promptfoo", where={"provider": "down"})
    assert {each.response_text for each in down} == {None}
    assert all("ECONNREFUSED" in str(each.error) for each in down)


def test_promptfoo_repeats_are_samples(tmp_path: Path) -> None:
    document = json.loads((FOLDER / "promptfoo.json").read_text("utf-8"))
    document["results"]["results"] *= 2
    path = tmp_path / "results.json"
    path.write_text(json.dumps(document), "utf-8")
    file = AnswersFile(path=path.as_posix(), format="promptfoo", where={"prompt": "careful"})
    found = match(read_answers(file), {"closed_book": items("promptfoo")}, file)
    assert [len(each) for each in found.answers.values()] == [2, 2, 2]


def test_records_for_several_metrics_do_not_count_twice() -> None:
    answers = read("every_eval_ever.jsonl", "every_eval_ever", where={"model_id": "org/model"})
    assert [(each.item_id, each.response_text) for each in answers] == [
        ("capitals_0", "N'Djamena"),
        ("capitals_1", "Paris"),
        ("capitals_2", "North"),
    ]
    assert {each.latency_s for each in answers} == {0.25}


def test_records_of_our_exports_have_samples_reasons_and_clusters(tmp_path: Path) -> None:
    """Two samples of an item may say the same."""
    line = json.loads((FOLDER / "every_eval_ever.jsonl").read_text("utf-8").splitlines()[0])
    usage = {"input_tokens": 9, "output_tokens": 2, "total_tokens": 12}
    line["token_usage"] = usage | {"input_tokens_cache_read": 4, "input_tokens_cache_write": 3}
    path = tmp_path / "a.jsonl"
    metadata = [
        {"sample_index": "0", "finish_reason": "length", "cluster_id": "africa"},
        {"sample_index": "1", "finish_reason": "refused:content_filter", "cluster_id": "africa"},
    ]
    lines = [json.dumps({**line, "metadata": each}) for each in metadata]
    path.write_text("\n".join([*lines, *lines]) + "\n", "utf-8")
    one, two = read_answers(AnswersFile(path=path.as_posix(), format="every_eval_ever"))
    assert (one.sample_index, one.finish_reason, one.cluster_id) == (0, "length", "africa")
    assert (two.sample_index, two.finish_reason) == (1, "refused:content_filter")
    assert (one.total_tokens, one.cached_tokens, one.cache_write_tokens) == (12, 4, 3)
    (item,) = read_items(Source("mine", path), "every_eval_ever", TASK)[:1]
    assert item.cluster_id == "africa"


def test_a_conversation_ends_with_its_answer(tmp_path: Path) -> None:
    line = json.loads((FOLDER / "every_eval_ever.jsonl").read_text("utf-8").splitlines()[0])
    turns = [("user", "Hi"), ("assistant", "Yes?"), ("user", CHAD), ("assistant", "Ndjamena.")]
    messages = [{"turn_idx": n, "role": r, "content": t} for n, (r, t) in enumerate(turns)]
    line |= {"interaction_type": "multi_turn", "output": None, "messages": messages}
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(line) + "\n", "utf-8")
    (found,) = read_answers(AnswersFile(path=path.as_posix(), format="every_eval_ever"))
    assert found.response_text == "Ndjamena."


def test_helm_completions_are_read() -> None:
    answers = read("helm.json", "helm", where={"perturbation": "none"})
    assert said(answers) == {
        (CHAD, None): (" N'Djamena", "stop"),
        (FRANCE, None): (" Paris", "stop"),
        (SENEGAL, None): (" North", "length"),
    }
    assert [each.answers for each in answers] == [tuple(gold) for gold in GOLD.values()]


def test_helm_trials_and_completions_are_samples(tmp_path: Path) -> None:
    document = json.loads((FOLDER / "helm.json").read_text("utf-8"))
    first = document["request_states"][0]
    first["result"]["completions"] *= 2
    other = {**first, "train_trial_index": 1}
    path = tmp_path / "helm.json"
    path.write_text(json.dumps({"request_states": [first, other]}), "utf-8")
    found = read_answers(AnswersFile(path=path.as_posix(), format="helm"))
    assert [each.sample_index for each in found] == [0, 1, 2, 3]


def test_alpaca_eval_has_outputs_and_no_gold_answers(tmp_path: Path) -> None:
    answers = read("alpaca_eval.json", "alpaca_eval", where={"generator": "demo"})
    assert {each.question: each.response_text for each in answers} == {
        question: text for (question, _), (text, _) in PLAIN.items()
    }
    annotation = {"instruction": CHAD, "output_1": "ten", "generator_1": "one",
                  "output_2": "noon", "generator_2": "two", "preference": 1.0}  # fmt: skip
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps([annotation]), "utf-8")
    file = AnswersFile(path=path.as_posix(), format="alpaca_eval", where={"generator": "two"})
    assert [each.response_text for each in read_answers(file)] == ["noon"]


@pytest.mark.parametrize(
    ("file_format", "text", "problem"),
    [
        ("promptfoo", "{}", "results: is missing"),
        ("promptfoo", '{"results": {"results": [3]}}', "results[0]: expected a JSON object"),
        ("promptfoo", '{"results": {\n"results": ', "line 2: not valid JSON"),
        ("every_eval_ever", '{"model_id": "m"}\n', "line 1: evaluation_name: is missing"),
        ("helm", '{"request_states": [{"instance": {}}]}', "instance: id: is missing"),
        ("alpaca_eval", "{}", "expected a list of outputs"),
        ("alpaca_eval", '[{"instruction": "?"}]', "[0]: output: is missing"),
        ("inspect", '{"samples": [3]}', "samples[0]: expected a JSON object, found 3"),
        ("inspect", "{}", "there are no answers in this file"),
    ],
)
def test_files_that_are_not_of_the_format_stop_with_the_place(
    tmp_path: Path, file_format: str, text: str, problem: str
) -> None:
    path = tmp_path / "a.json"
    path.write_text(text, "utf-8")
    with pytest.raises(UserError) as refused:
        read_answers(AnswersFile(path=path.as_posix(), format=file_format))
    assert path.as_posix() in str(refused.value).replace("\\", "/")
    assert problem in str(refused.value)


# The questions of such files


FILES = {
    "inspect": "inspect.eval",
    "lm_eval": "lm_eval_plain.jsonl",
    "promptfoo": "promptfoo.json",
    "every_eval_ever": "every_eval_ever.jsonl",
    "helm": "helm.json",
}


def items(file_format: str) -> list[Any]:
    return read_items(Source("mine", FOLDER / FILES[file_format]), file_format, TASK)


@pytest.mark.parametrize("file_format", FILES)
def test_a_file_of_answers_may_be_the_data_set(file_format: str) -> None:
    assert {each.question: each.answers for each in items(file_format)} == GOLD


@pytest.mark.parametrize("data_set", FILES)
@pytest.mark.parametrize("answers", [*FILES, "alpaca_eval"])
def test_answers_of_each_tool_fit_the_questions_of_each(data_set: str, answers: str) -> None:
    """Ids differ from tool to tool, the questions do not."""
    name = FILES.get(answers, "alpaca_eval.json")
    where = {"promptfoo": {"prompt": "careful"}}.get(answers, {})
    file = AnswersFile(path=(FOLDER / name).as_posix(), format=answers, where=where)
    of_data_set = items(data_set)
    found = match(read_answers(file), {"closed_book": of_data_set}, file)
    assert not found.unknown
    for item in of_data_set:
        assert {each.question for each in found.answers[item.key]} == {item.question}


def test_files_without_gold_answers_are_no_data_set(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    document = json.loads((FOLDER / "promptfoo.json").read_text("utf-8"))
    for result in document["results"]["results"]:
        del result["testCase"]["assert"]
    path.write_text(json.dumps(document), "utf-8")
    with pytest.raises(UserError, match=r"results\[0\]: there are no gold answers in this file"):
        read_items(Source("mine", path), "promptfoo", TASK)
