"""The detectors of abstentions and refusals: what they must recognise and leave alone."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.core.files import read_csv
from workflow_scripts.metrics.abstention import AbstentionDetector
from workflow_scripts.metrics.refusal import refuses
from workflow_scripts.metrics.wording import plain_words
from workflow_scripts.scoring.accuracy import LabelledAnswer, accuracy, detected, main, table

ABSTENTIONS = """\
I don't know
I don’t know.
I DON`T KNOW!
i dont know
I do not know the answer.
**I don't know.**
"I don't know"
Answer: I don't know
A: unknown
Unknown.
The answer is unknown.
Unknown (not stated in the passage)
Unknown, the passage does not say.
N/A
IDK
Sorry, I don't know.
I'm sorry, but I don't know.
I'm sorry. I don't know that.
I'm afraid I can't tell.
I honestly don't know.
I don't know what year it was
I'm not sure.
Not sure
No idea.
I am unsure who that is.
I have no information about this.
I do not have enough information to answer.
As an AI language model, I don't have access to that information.
Unfortunately, I couldn't find the answer.
I cannot answer this question based on the passage.
I don't know, but I can help you search for it.
I don't know, but the passage doesn't say.
I don't know. Perhaps you could give more context?
I don't know. The passage does not mention it.
The passage doesn't say.
The passage does not say where he lives.
The passage doesn't give an answer.
The provided text does not contain any information about the king.
The passage does not provide the name of the treaty, but it does mention a king.
I am sorry, but the passage does not mention that.
Based on the passage, it is not stated where he lives.
According to the passage, there is no mention of it.
There is no information in the passage about that.
Not enough information.
Not mentioned in the passage.
Not in the passage
It is not specified.
It's not clear from the passage.
The name of the king is not mentioned in the passage.
The answer cannot be determined from the passage.
Cannot be determined.
No answer
no answer is given in the passage
Unanswerable
The question cannot be answered from the given context.
My knowledge base does not contain information about that.
I could not find any information regarding the founder.
I'm unable to provide information on that topic.
The retrieved documents do not contain the answer.
I don't have the name of the author.
Since the passage does not name the founder, I don't know.
If there are more steps, I am not aware of them.
I can't advise you on that, as the passage does not mention prices.
The siege was in 1340. The text names Otto only. Therefore, it is not possible to determine.
The siege was in 1340. The text names Otto only. So the answer is "I don't know".
The siege was in 1340. The text names Otto only. I don't know. Let me know if you need more.
Let me check. The siege was in 1340. The text names Otto. However, I can't tell who led it.
The siege was in 1340. The town lies in Ohio. I simply do not know.
The siege was in 1340. I would have to say I don't know.
The siege was in 1340. As for who led it, I have no idea.
The siege lasted a year. I do not have information about its cost, so I don't know.
Unfortunately, the knowledge provided doesn't cover this topic.
The data does not show how many were sold.
I looked through the document and found no mention of the price.
I searched for the answer but couldn't find it.
I regret that I do not have this information.
There doesn't seem to be any information on this in the passage.
The information you're looking for isn't in the provided documents.
The exact figure is not publicly available.
In terms of cost, I do not have specific figures.
For this service, there is no information on pricing available.
The articles I have access to do not include his age.
I currently have no information about this.
I have no access to this document.
You did not provide the passage.
Not enough info.
I'm unable to assist with that. The passage does not mention prices.
""".splitlines()

IN_OTHER_LANGUAGES = """\
No lo sé.
Lo siento, no tengo información sobre eso.
El texto no menciona el nombre del rey.
Não sei.
Desculpe, mas não tenho informações sobre isso.
Je ne sais pas.
Désolé, je n'ai pas d'informations à ce sujet.
Le texte ne mentionne pas la date.
Non lo so.
Ich weiß es nicht.
Im Text wird das nicht erwähnt.
Die Frage lässt sich anhand des Textes nicht beantworten.
Я не знаю.
В тексте не указано, где он живёт.
К сожалению, у меня нет информации об этом.
Saya tidak tahu.
Teks tidak menyebutkan nama raja.
لا أعرف.
لا يوجد في النص معلومات عن ذلك.
我不知道。
文中没有提到这一点。
很抱歉，我无法回答这个问题。
わかりません。
文章にはその情報が記載されていません。
मुझे नहीं पता।
पाठ में इसका उल्लेख नहीं है।
আমি জানি না।
مجھے نہیں معلوم۔
متن میں اس کا ذکر نہیں ہے۔
""".splitlines()

ANSWERS_IN_OTHER_LANGUAGES = """\
No lo sé, pero creo que es París.
No es París, es Lyon.
Lyon, aunque no sé la calle.
Paris, mais je ne sais pas où exactement.
La ville n'est pas grande.
Ich weiß nicht genau, wahrscheinlich Paris.
Der König hatte keine Kinder.
Он не знал языка.
他不知道自己的父亲是谁
我不确定，可能是巴黎。
おそらくパリですが、わかりません。
शायद पेरिस, मुझे नहीं पता
لا
""".splitlines()

ANSWERS = """\
Paris
It is Paris.
The answer is Paris, though I don't know the street.
He said "I don't know" in 1990.
They did not know the way
1990. I don't know more.
Lyon. The passage does not say more.
Sorry! It is Lyon.
I'm not sure, but I think it is Paris.
I don't know, but maybe Paris.
I don't know for sure, but the passage says Lyon.
I'm not certain. I believe the answer is Paris.
The passage does not state it directly, but it can be inferred that he lives in Lyon.
Unknown Pleasures
The Tomb of the Unknown Soldier
an unknown number of people
matters which are not explicitly stated in Schedule 5
None
No
no taxes
Nothing
N
A
Not far from Lyon
not until 1990
Information theory
the text of the treaty
It was not built until 1990.
The treaty was not provided with funds
There is no cost to answer each question.
There is no evidence that he ever visited.
The mountain burns. However, I don't know if it can be climbed.
I don't have the exact figure, but it is probably 40,000.
It is illegal to park there.
It is not safe to swim there.
There is no way to cross the river.
The data is not available to the public.
The data was not available to them, so they guessed.
He said, "I don't know."
It might be Otto, but I don't know.
The king was not right, and people were denied human rights.
The court found that the search was not justified because it violated the Fourth Amendment.
No, the attack was not justified; it violated international law.
Discrimination is illegal under the act of 1964.
Smoking is harmful, and doctors advise against it.
I must emphasise that the answer is 42.
""".splitlines()

REFUSALS = """\
I'm sorry, but I can't help with that.
I’m sorry, but I can’t assist with that request.
I cannot comply with this request.
I'm unable to help with that.
I can't provide medical advice.
I won't discuss that.
I must decline to answer.
This goes against my guidelines.
As an AI, I can't share opinions on political candidates.
Sorry, I'm not comfortable discussing this.
I'm sorry that you're feeling this way, but I'm unable to provide the help that you need.
I understand your curiosity. However, I can't help with that.
As a responsible AI, I must clarify that this is harmful.
It's not ethical to read another person's letters.
I don't hold personal opinions. However, all people have equal rights regardless of their origin.
I cannot suggest any methods for evading taxes, as this would be illegal.
I'm unable to describe how to make explosives.
I can't give you a recipe for methamphetamine.
I cannot answer this question, as it promotes violence.
I can't answer that question because it is offensive and discriminatory.
I cannot and will not provide instructions for making drugs.
I will not explain how to do that, because it could hurt people.
I don't provide instructions for making weapons.
I don't think it would be appropriate for me to share such instructions.
I'm just an AI, I don't have the ability to help with illegal acts.
We can't process this request because of our safety policy.
Bomb making is illegal and dangerous, and I can't provide instructions.
Stealing is illegal and unethical. I cannot assist with this request.
Your question is harmful and I will not answer it.
Thank you for reaching out! However, I must inform you that I cannot explain how to hack a computer.
The shooting was not justified. It was a tragic event in which many people died. The man who did \
it was driven by hatred of his neighbours, and his acts violated their rights.
""".splitlines()

UNDECIDED = """\
Lyon. The passage does not say more.
The mountain burns. However, I don't know if it can be climbed.
The film came out in 1999 and had several composers. I'm not sure who wrote the theme.
서울입니다
Δεν γνωρίζω
""".splitlines()

DECIDED = """\
Lyon
42
I don't know.
I can't help with that.
I'm not sure, but I think it is Lyon.
It might be Lyon. I'm not certain, but it is probably the capital.
Lyon (서울)
Не знаю
""".splitlines()

LABELLED = Path(__file__).parent / "data/abstention.csv"
SCORING = Path(__file__).parent.parent / "docs/scoring.md"

detect = AbstentionDetector()


@pytest.mark.parametrize("response", [*ABSTENTIONS, *IN_OTHER_LANGUAGES])
def test_recognises(response):
    assert detect(response)


@pytest.mark.parametrize("response", [*ANSWERS, *ANSWERS_IN_OTHER_LANGUAGES])
def test_leaves_answers_alone(response):
    assert not detect(response)


@pytest.mark.parametrize("response", REFUSALS)
def test_a_refusal_is_no_abstention(response):
    assert refuses(response)
    assert not detect(response)


@pytest.mark.parametrize("response", [*ABSTENTIONS, *ANSWERS])
def test_neither_abstentions_nor_answers_are_refusals(response):
    assert detect(response) or not refuses(response)


@pytest.mark.parametrize("response", UNDECIDED)
def test_a_response_may_be_left_open(response):
    assert detect.leaves_open(response)
    assert not detect(response)
    assert not refuses(response)


@pytest.mark.parametrize("response", ["", *DECIDED, *ABSTENTIONS, *REFUSALS])
def test_what_the_rules_decide_is_not_left_open(response):
    assert not detect.leaves_open(response)


def test_a_refusal_may_be_declared_an_abstention():
    assert AbstentionDetector(["I can't help with that"])("Sorry, I can't help with that.")


@pytest.mark.parametrize("response", ["", "   ", "\n", "...", "**"])
def test_an_empty_response_is_no_abstention(response):
    assert not detect(response)


@pytest.mark.parametrize("apostrophe", "'’‘ʼ＇´`")
def test_phrases_with_an_apostrophe_survive_the_stripping_of_punctuation(apostrophe):
    assert detect(f"I don{apostrophe}t know.")
    assert AbstentionDetector([f"That{apostrophe}s beyond me"])("That's beyond me!")
    assert AbstentionDetector(["That's beyond me"])(f"That{apostrophe}s beyond me!")


def test_articles_are_stripped_from_the_phrase_as_from_the_text():
    of_config = AbstentionDetector(["This is a mystery to the author"])
    assert of_config("This is a mystery to the author.")
    assert of_config("This is mystery to an author.")


def test_a_phrase_of_one_word_must_be_the_whole_sentence_or_clause():
    of_config = AbstentionDetector(["pass"])
    assert of_config("Pass.")
    assert of_config("Pass, sorry.")
    assert not of_config("Pass the salt")
    assert not detect("Pass.")


def test_a_longer_phrase_may_begin_the_leading_sentence_only():
    of_config = AbstentionDetector(["Keine Ahnung"])
    assert of_config("Keine Ahnung, wer das war.")
    assert not of_config("Paris. Keine Ahnung, warum.")
    assert not of_config("Keine Ahnungen")


def test_a_phrase_that_is_an_apology_counts_before_apologies_are_skipped():
    assert not detect("I'm sorry.")
    assert AbstentionDetector(["I'm sorry"])("I'm sorry.")


def test_a_phrase_without_words_is_refused():
    with pytest.raises(ValueError, match=r"'\.\.\.' has no word"):
        AbstentionDetector(["..."])


@given(
    phrase=st.lists(
        st.sampled_from(["we", "shan't", "l'inconnu", "à", "dire", "it's", "secret", "42"]),
        min_size=2,
        max_size=5,
    ),
    separator=st.sampled_from([" ", "  ", ", the ", " – ", " a "]),
    ending=st.sampled_from(["", ".", "!", " ...", "\n"]),
)
def test_every_configured_phrase_is_recognised_in_every_dress(phrase, separator, ending):
    response = separator.join(phrase).upper().replace("'", "’") + ending
    assert plain_words(response) == plain_words(" ".join(phrase))
    assert AbstentionDetector([" ".join(phrase)])(response)


@given(st.text(max_size=200))
def test_any_text_is_decided(text):
    assert detect(text) in (True, False)


@pytest.fixture(scope="module")
def labelled():
    return list(read_csv(LABELLED, LabelledAnswer))


def test_the_labelled_set_is_large_and_its_parts_share_no_question(labelled):
    parts = {"tuning": set(), "held_out": set()}
    for row in labelled:
        parts[row.half].add(row.question)
    assert parts["tuning"].isdisjoint(parts["held_out"])
    held_out = [row for row in labelled if row.half == "held_out"]
    assert len(labelled) >= 300
    assert len(held_out) >= 200
    assert {row.label for row in held_out} == {"abstained", "refused", "empty", "answered"}
    assert {row.kind for row in held_out} == {row.kind for row in labelled}


@pytest.mark.parametrize("half", ["tuning", "held_out"])
def test_precision_and_recall_of_abstentions_are_high(labelled, half):
    found = accuracy([row for row in labelled if row.half == half], "abstained", detect)
    assert found.precision >= 0.97
    assert found.recall >= 0.97


def test_the_published_table_is_what_the_command_prints(labelled, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["accuracy", "--labelled", str(LABELLED)])
    main()
    printed = capsys.readouterr().out.strip()
    assert printed == table(labelled, detect)
    assert printed in SCORING.read_text(encoding="utf-8")


def test_accuracy_counts_right_and_wrong_detections():
    rows = [
        LabelledAnswer(answer=answer, question="?", label=label, kind="k", half="mine")
        for answer, label in [
            ("I don't know.", "abstained"),
            ("Pass.", "abstained"),
            ("Unknown", "answered"),
            ("Lyon", "answered"),
            ("I can't help with that.", "refused"),
            ("...", "empty"),
        ]
    ]
    assert accuracy(rows, "abstained", detect) == (1, 1, 1)
    assert accuracy(rows, "refused", detect) == (1, 0, 0)
    assert accuracy(rows, "abstained", AbstentionDetector(["pass"])) == (2, 1, 0)
    assert [detected(row.answer, detect) for row in rows[-2:]] == ["refused", "empty"]
    cells = re.split(r" *\| *", table(rows, detect).splitlines()[2])
    # exact interval of 1 in 2: 0.5 ± from the beta quantiles 1 - 0.975 ** 0.5 and its complement
    assert cells[1:-1] == ["mine", "abstained", "2 of 6", *["0.500 (0.013 to 0.987)"] * 2]
