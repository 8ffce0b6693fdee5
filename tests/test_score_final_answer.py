"""The final answer is told apart from the reasoning, and every metric sees it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.metrics.final_answer import final_answer

REASONING = "The passage names Otto and Henry.\nIt might be Otto, but I don't know."


@pytest.mark.parametrize(
    ("opened", "closed"),
    [
        ("<think>", "</think>"),
        ("<Thinking>", "</Thinking>"),
        ("<thought>", "</thought>"),
        ("<reasoning>", "</reasoning>"),
        ("<seed:think>", "</seed:think>"),
        ("[THINK]", "[/THINK]"),
        ("◁think▷", "◁/think▷"),
        ("<|START_THINKING|>", "<|END_THINKING|><|START_RESPONSE|>"),
        ("<|begin_of_thought|>", "<|end_of_thought|>\n\n<|begin_of_solution|>"),
        ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
        ("<|channel>thought\n", "<channel|>"),
        ("Here is my thought process:", "Here is my response:"),
    ],
)
def test_reasoning_in_tags_is_left_out(opened, closed):
    assert final_answer(f"{opened}{REASONING}{closed}\n\nOtto") == "Otto"
    assert final_answer(f"{REASONING}{closed}Otto") == "Otto"  # opened in the prompt
    assert final_answer(f"{opened}{REASONING}") == ""  # cut off before an answer
    assert final_answer(f"Otto\n{opened}{REASONING}{closed}") == "Otto"


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("Answer: Otto", "Otto"),
        ("**Final Answer:** Otto", "Otto"),
        ("### Answer: Otto", "Otto"),
        (f"{REASONING}\nSo the answer is: Otto", "Otto"),
        (f"{REASONING} Answer: Otto", "Otto"),
        (f"Answer: Henry\n{REASONING}\nAnswer: Otto", "Otto"),
        ("3 + 4 = 7\n#### 7", "7"),
        ("奥托是国王。\n答案：奥托", "奥托"),
        ("Respuesta final: Otto", "Otto"),
        ("<answer>Otto</answer>", "Otto"),
        (r"Thus $\boxed{\text{Otto}}$.", "Otto"),
        (r"Thus $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        ("Answer: Otto\nExplanation: the passage names him.", "Otto"),
        ("Otto\n\nQuestion: Who was Henry?\nAnswer: a bishop", "Otto"),
        ("Question: Who was king?\nAnswer: Otto", "Otto"),
        ("Reasoning: the passage names him.\nAnswer: Otto", "Otto"),
        ("Let me check. The passage names Otto.\n\nOtto", "Otto"),
        ("To answer this, look at line 2.\nIt names Otto.\n\nI don't know.", "I don't know."),
    ],
)
def test_marked_answers_and_last_lines(response, answer):
    assert final_answer(response) == answer


@pytest.mark.parametrize(
    "response",
    [
        "Otto",
        " Otto\n",
        "",
        "Answer:",
        "The answer is Otto.",
        "He gave the answer: silence",
        "Otto\n\nHe was the king.",
        "The passage names Otto.\n\nLet me know if you need more.",
        "Let me check.\n\nOtto.\n\nLet me know if you need more.",
        "First, boil water.\n\nThen add the tea.",
        "I think, therefore I am",
        "a < b and c > d",
    ],
)
def test_other_responses_are_the_answer_as_they_are(response):
    assert final_answer(response) == response


@given(st.text(max_size=200))
def test_any_text_has_a_final_answer_that_is_part_of_it(text):
    assert final_answer(text) in text
