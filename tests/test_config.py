"""The config: its keys, its messages, its trials."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import yaml
from conftest import REPOSITORY, Project
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel

from workflow_scripts.config import models, trials
from workflow_scripts.config.load import ENVIRONMENT, load_config, read_config
from workflow_scripts.config.reference import reference
from workflow_scripts.config.schema import Config
from workflow_scripts.core.errors import UserError
from workflow_scripts.datasets.settings import DatasetSpec
from workflow_scripts.rules import stages
from workflow_scripts.rules.experiment import Experiment, Job

MINIMAL = """\
experiment: mine
backend: local
local_engine: llama_cpp
local_model: resources/models/assay-demo.gguf
datasets:
  demo: {format: jsonl, path: resources/demo/open_book.jsonl, task: open_book}
prompt_sets:
  abstention: {control: control, treatment: treatment}
"""


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    for variable in ENVIRONMENT:
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def written(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_all_shipped_configs_are_valid() -> None:
    for path in sorted(Path("config").glob("*.yaml")):
        config = read_config(path)
        assert trials.trials(config) or config.analyses, path


def test_fireworks_is_the_backend_when_none_is_named(written) -> None:
    text = MINIMAL.split("backend: local", maxsplit=1)[0] + "model_id: some/model\n"
    text += MINIMAL[MINIMAL.index("datasets") :]
    assert list(models.backends(read_config(written(text)))) == ["fireworks"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("n_ctx_", "n_ctx_: 5\n"),
            r"mine\.yaml, line 9: n_ctx_: unknown key; did you mean 'n_ctx'",
        ),
        (("", "n_ctx: many\n"), r"mine\.yaml, line 9: n_ctx: .*valid integer.*'many'"),
        (
            ("", "max_concurrent_requests: many\n"),
            r"line 9: max_concurrent_requests: .*valid integer.* or Input should be 'auto' \(it is",
        ),
        (
            ("", "backends: {a: {max_concurrent_requests: 0}}\n"),
            r"line 9: backends\.a\.max_concurrent_requests: .*than or equal to 1.* or .*'auto'",
        ),
        (("", "stats: {bootstrap: 3}\n"), r"line 9: stats\.bootstrap: unknown key; did you mean"),
        (("", "stats: {tost_margins: {bleu: 0.1}}\n"), r"stats\.tost_margins\.bleu: .*'em', 'f1'"),
        (("", "stats: {tost_margins: {em: 0}}\n"), r"stats\.tost_margins\.em: .*greater than 0"),
        (("", "temps: [hot]\n"), r"line 9: temps\.0: 'hot' is not a temperature"),
        (
            ("backend: local\n", "backend: openay\n"),
            r"backend: unknown backend 'openay'; did you mean 'openai'\? there are .*, local$",
        ),
        (("experiment: mine", "experiment: 'a:b'"), r"line 1: experiment: .*Windows"),
        (("experiment: mine", "experiment: CON"), r"line 1: experiment: .*Windows"),
        (("assay-demo.gguf", "assay-dmo.gguf"), r"line 4: local_model: the model file .*did you "),
        (("treatment: treatment", "treatment: treatmnt"), r"line 8: .*did you mean '.*treatment"),
        (("open_book.jsonl", "closed.jsonl"), r"line 6: datasets\.demo\.path: the data file"),
        (("local_engine: llama_cpp\n", ""), r"needs local_engine: 'ollama' or 'llama_cpp'"),
        (("", "default_prompt_set: x\n"), r"no prompt set 'x'; there are \['abstention'\]"),
        (
            ("task: open_book", "task: shut"),
            r"datasets\.demo\.task: unknown task 'shut'; there are open_book, ",
        ),
        ((", task: open_book", ""), r"datasets\.demo: format 'jsonl' needs task"),
        (("", "limit_items: true\n"), r"line 9: limit_items: true and false are no values here"),
        (("", "stop: [no]\n"), r"line 9: stop: .*also reads yes, no"),
        (("", "stats: {tost_margins: {em: yes}}\n"), r"stats\.tost_margins: true and false are no"),
        (("", "stop: ['']\n"), r"line 9: stop\.0: an empty text would end every answer"),
        (("", "top_p: .nan\n"), r"line 9: top_p: .*finite"),
        (("", "abstention_phrases: ['...']\n"), r"line 9: abstention_phrases: .*no word"),
        (("", "title: 7\n"), r"line 9: title: expected text; put a number in quotes \(it is 7\)"),
        (("", "stats:\n"), r"line 9: stats: expected a block of keys with values \(it is empty\)"),
        (("", "temps: [0, 0.7, 0.0]\n"), r"line 9: temps: 0\.0 stands in the list twice"),
        (("", "sweep: {temps: [1, '1.0']}\n"), r"sweep\.temps: 1\.0 stands in the list twice"),
        (("", "sweep: {top_p: [1, 1.0]}\n"), r"sweep\.top_p: 1\.0 stands in the list twice"),
        (("", "sweep: {models: [a, a]}\n"), r"sweep\.models: a stands in the list twice"),
        (
            ("", "sweep: {max_new_tokens: [{open_book: 5}, {open_book: 5}]}\n"),
            r"sweep\.max_new_tokens: entry 2 stands in the list twice",
        ),
        (
            ("", "sweep: {prompt_sets: [abstention, abstention]}\n"),
            r"sweep\.prompt_sets: abstention stands in the list twice",
        ),
        (("", "samples_per_item: {0: 1, '0.0': 2}\n"), r"line 9: .*0 and '0\.0' are the same temp"),
        (("", "samples_per_item: {0.5: 2}\n"), r"line 9: samples_per_item\.0\.5: .*not in use"),
        (("", "sizes: {demoo: 2}\n"), r"line 9: sizes\.demoo: no data set.*did you mean 'demo'"),
        (
            ("", "pricing: {gpt: {input_per_million: 1, output_per_million: 1}}\n"),
            r"line 9: pricing\.gpt: no model 'gpt' is configured; there are \['resources/",
        ),
        (("", "stats: {tost_margins: {em: 5}}\n"), r"stats\.tost_margins\.em: .*less than 1"),
        (("experiment: mine", "experiment: Journal"), r"line 1: .*one of Assay's own folders"),
        (("  demo: {", "  -demo: {"), r"line 6: datasets\.-demo: .*no '-' at the start"),
        (("  abstention: {", "  raw: {"), r"line 8: prompt_sets\.raw: .*Assay's own folders"),
        (("", "backends: {inputs: {}}\n"), r"line 9: backends\.inputs: .*Assay's own folders"),
        (("", "backends: {a: {}, A: {}}\n"), r"line 9: backends: 'a' and 'A' differ in case alone"),
        (
            ("resources/demo/open_book.jsonl", "resources/demo"),
            r"'resources/demo' is a folder, not",
        ),
        (
            ("", "tokenizer: resources/models/none.gguf\n"),
            r"line 9: tokenizer: the tokenizer's file",
        ),
        (
            ("treatment: treatment", "treatment: 5"),
            r"line 8: prompt_sets\.abstention\.treatment: exp",
        ),
        (("treatment: treatment", "treatment: [5]"), r"prompt_sets\.abstention\.treatment\.0: exp"),
        (
            ("treatment: treatment", "treatment: []"),
            r"abstention\.treatment: at least one is needed",
        ),
        (
            ("treatment: treatment", "treatment: [a, a]"),
            r"line 8: .*two of the treatments are call",
        ),
        (
            ("treatment: treatment", "treatment: [a, x/control.txt]"),
            r"line 8: .*none may be called",
        ),
        (
            ("treatment: treatment", "treatment: prompts/../prompts/system/control.txt"),
            r"line 8: prompt_sets\.abstention: .*it would be compared with itself",
        ),
        (
            ("path: resources/demo/open_book.jsonl", "url: 'https://a.org/x y?key=s3cret'"),
            r"line 6: datasets\.demo\.url: expected an address[^?]*$",
        ),
        (
            ("path: resources/demo/open_book.jsonl", "url: 'https://me:s3cret@a.org/x'"),
            r"line 6: datasets\.demo\.url: credentials belong into \.netrc[^@]*$",
        ),
        (
            ("path: resources/demo/open_book.jsonl", "url: 'https://a.org/x?key=s3cret'"),
            r"line 6: datasets\.demo: url needs sha256[^?]*$",
        ),
        (
            ("path: resources", "sha256: abc, path: resources"),
            r"line 6: datasets\.demo\.sha256: a SHA-256 has 64 hexadecimal digits",
        ),
        (
            ("path: resources", f"sha256: '{'A' * 64}', path: resources"),
            r"line 6: datasets\.demo: sha256 belongs to url",
        ),
        (
            ("path: resources", "path: https://resources"),
            r"datasets\.demo\.path: this is an address",
        ),
        (("", "n_ctx: 5\nn_ctx: 6\n"), r"line 10: the key 'n_ctx' stands twice; .*in line 9"),
        (("", "n_ctx: 010\n"), r"mine\.yaml, line 9: YAML reads 010 as 8; write that number, or"),
        (("", "n_ctx: 0x10\n"), r"mine\.yaml, line 9: YAML reads 0x10 as 16; write that number"),
        (("", "n_ctx: 1:30\n"), r"mine\.yaml, line 9: YAML reads 1:30 as 90; write that number"),
        (("", "temps: [0b1, 1:30.5]\n"), r"reads 0b1 as 1; .*\n.*reads 1:30\.5 as 90\.5; write"),
        (("", "title: \0\n"), r"mine\.yaml, line 9: the character U\+0000 does not belong into"),
        (("", 'title: "a\\0b"\n'), r"line 9: title: has the control character U\+0000; delete it"),
        (("", f"title: {'[' * 5000}\n"), r"mine\.yaml: blocks or lists are nested too deeply"),
        (
            ("", "backends: {a: {local_endpoint: 'http://localhost:99999'}}\n"),
            r"line 9: backends\.a\.local_endpoint: not the address of a server: Port out of range",
        ),
        (
            ("", "labelling: {disagree: [em]}\n"),
            r"line 9: labelling: .*disagree needs two metrics, or none",
        ),
        (
            ("", "labelling: {temp: 0.7}\n"),
            r"line 9: labelling\.temp: no response has temperature 0\.7; choose one of 0\.0",
        ),
        (("", "title: 2024-02-30\n"), r"mine\.yaml: not valid YAML \(day is out of range"),
    ],
)
def test_a_mistake_is_one_clear_message(written, change: tuple[str, str], message: str) -> None:
    old, new = change
    text = MINIMAL.replace(old, new) if old in MINIMAL and old else MINIMAL + new
    with pytest.raises(UserError, match=message):
        read_config(written(text))


@pytest.mark.parametrize(
    ("block", "hint"),
    [
        ("n_ctxx: 1", "did you mean 'n_ctx'"),
        ("stats: {confidenc: 1}", "did you mean 'confidence'"),
        ("datasets: {d: {tsk: x}}", "did you mean 'task'"),
        ("prompt_sets: {a: {treatmnt: x}}", "did you mean 'treatment'"),
        ("backends: {a: {local_mdel: x}}", "did you mean 'local_model'"),
        ("pricing: {m: {input_per_milion: 1}}", "did you mean 'input_per_million'"),
        ("max_new_tokens: {open: 1}", "did you mean 'open_book'"),
        ("sweep: {top: 1}", "did you mean 'top_[pk]'"),
        ("sweep: {max_new_tokens: [{open_bok: 1}]}", "did you mean 'open_book'"),
        ("unsupported: {x: 1}", "Known keys here: strategy, threshold, min_token_overlap"),
    ],
)
def test_an_unknown_key_is_told_at_every_level(written, block: str, hint: str) -> None:
    key = block.split(":", maxsplit=1)[0]
    rest = [line for line in MINIMAL.splitlines() if not line.startswith((key, "  "))]
    rest = [line for line in rest if line[-1] != ":"]
    with pytest.raises(UserError, match=rf"line 1: {key}.*: unknown (key|task '\w+'); {hint}"):
        read_config(written("\n".join([block, *rest])))


def test_aliases_and_merges_are_no_repeated_keys(written) -> None:
    text = MINIMAL + (
        "backends:\n  one: &shared {n_ctx: 512, n_threads: 1}\n"
        "  two: {<<: *shared, n_ctx: 1024}\n  three: *shared\n"
    )
    found = models.backends(read_config(written(text)))
    assert [(each.n_ctx, each.n_threads) for each in found.values()] == [
        (512, 1), (1024, 1), (512, 1),
    ]  # fmt: skip


def test_no_switch_is_taken_for_a_number(written) -> None:
    """Also of keys that are still to come: every number of the schema refuses true."""

    def numbers(block: type[BaseModel], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for name, field in block.model_fields.items():
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                yield from numbers(field.annotation, (*path, name))
            elif {int, float} & {field.annotation, *get_args(field.annotation)}:
                yield (*path, name)

    found = list(numbers(Config, ()))
    assert ("limit_items",) in found
    assert ("stats", "confidence") in found
    for path in found:
        value: object = True
        for step in reversed(path):
            value = {step: value}
        with pytest.raises(UserError, match="true and false are no values here"):
            load_config({**yaml.safe_load(MINIMAL), **value}, [written(MINIMAL)], {})


def test_a_switch_is_taken_where_it_belongs(written) -> None:
    config = read_config(written(MINIMAL + "backends: {a: {use_batch_api: no}}\n"))
    settings = stages.infer(Job(Experiment(config), {"backend": "a", "model": "assay-demo"}))
    assert settings.backend.use_batch_api is False
    assert type(settings).model_validate(settings.model_dump(mode="json")) == settings


def test_all_mistakes_are_told_at_once(written) -> None:
    with pytest.raises(UserError) as caught:
        read_config(written(MINIMAL + "n_ctxx: 1\ntop_p: 3\n"))
    assert len(str(caught.value).splitlines()) == 2


def test_two_files_of_one_name_are_refused(written, tmp_path: Path) -> None:
    other = tmp_path / "control.txt"
    other.write_text("Answer.", encoding="utf-8")
    text = MINIMAL.replace("treatment: treatment", f"treatment: '{other.as_posix()}'")
    with pytest.raises(UserError, match="have the same name"):
        read_config(written(text))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"Be brief. \xe9\n", r"line 1: byte 0xe9 is not UTF-8; save the file"),
        ("Be brief.".encode("utf-16"), r"line 1: byte 0xff is not UTF-8"),
        (b"\xef\xbb\xbf \n", r"the prompt is empty"),
    ],
)
def test_a_prompt_that_cannot_be_sent_is_refused(
    written, tmp_path: Path, content: bytes, complaint: str
) -> None:
    (tmp_path / "brief.txt").write_bytes(content)
    path = (tmp_path / "brief.txt").as_posix()
    with pytest.raises(UserError, match=rf"mine\.yaml, line 8: .*brief\.txt.*{complaint}"):
        read_config(written(MINIMAL.replace("treatment: treatment", f"treatment: '{path}'")))


def test_a_byte_order_mark_and_line_ends_are_no_part_of_a_prompt(written, tmp_path: Path) -> None:
    (tmp_path / "brief.txt").write_bytes(b"\xef\xbb\xbfBe brief.\r\nBe kind.\r\n")
    path = (tmp_path / "brief.txt").as_posix()
    config = read_config(written(MINIMAL.replace("treatment: treatment", f"treatment: '{path}'")))
    (trial,) = trials.trials(config)
    assert trial.arms["treatment"].text == "Be brief.\nBe kind."


@pytest.mark.parametrize("name", ["mine.yaml", ".env"])
def test_a_file_that_is_not_utf8_is_named(
    written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    config = written(MINIMAL)
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(b"experiment: mine\ntitle: caf\xe9\n")
    with pytest.raises(UserError, match=rf"{name}, line 2: byte 0xe9 is not UTF-8"):
        read_config(config)


def test_prompts_whose_names_differ_in_case_alone_are_refused(written, tmp_path: Path) -> None:
    other = tmp_path / "Control.txt"
    other.write_text("Answer.", encoding="utf-8")
    text = MINIMAL.replace("treatment: treatment", f"treatment: '{other.as_posix()}'")
    with pytest.raises(UserError, match="have the same name"):
        read_config(written(text))


def test_one_prompt_may_be_written_in_two_ways(written) -> None:
    text = MINIMAL + "  other: {control: ./prompts/system/control.txt, treatment: polite}\n"
    assert len(trials.trials(read_config(written(text)))) == 2


def test_braces_in_paths_are_refused(written, tmp_path: Path) -> None:
    (tmp_path / "{x}.jsonl").write_text("", encoding="utf-8")
    path = (tmp_path / "{x}.jsonl").as_posix()
    text = MINIMAL.replace("resources/demo/open_book.jsonl", f"'{path}'")
    with pytest.raises(UserError, match=r"line 6: .*which Snakemake takes for a wildcard"):
        read_config(written(text))


def test_a_prompt_set_that_is_not_selected_is_checked_too(written) -> None:
    text = MINIMAL + "  later: {control: control, treatment: not_there}\n"
    with pytest.raises(UserError, match=r"line 9: prompt_sets\.later\.treatment: the prompt file"):
        read_config(written(text + "default_prompt_set: abstention\n"))


def test_an_empty_prompt_is_refused(written, tmp_path: Path) -> None:
    (tmp_path / "silent.txt").write_text(" \n", encoding="utf-8")
    path = (tmp_path / "silent.txt").as_posix()
    with pytest.raises(UserError, match=r"silent\.txt: the prompt is empty"):
        read_config(written(MINIMAL.replace("treatment: treatment", f"treatment: '{path}'")))


def test_the_environment_replaces_the_file_and_the_command_line_both(
    written, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(MINIMAL)
    monkeypatch.setenv("ASSAY_LOCAL_ENGINE", "ollama")
    monkeypatch.setenv("ASSAY_LOCAL_MODEL", "llama3:8b")
    values = yaml.safe_load(MINIMAL)
    from_environment = load_config(values, [path], {})
    assert models.backends(from_environment)["ollama"].model == "llama3:8b"
    overrides = {"local_model": "phi:2"}
    both = load_config({**values, **overrides}, [path], overrides)
    assert models.backends(both)["ollama"].model == "phi:2"


def test_a_mistake_is_told_where_it_is_written(written) -> None:
    """In the file, also when the command line overrides another key of the same block."""
    path = written(MINIMAL + "stats: {bootstrap_samples: 5}\ntemps: ['0.0']\n")
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    overrides = {"stats": {"confidence": 2}, "temps": ["0.0", "hot"]}
    values = {**values, **overrides, "stats": {"bootstrap_samples": 5, "confidence": 2}}
    with pytest.raises(UserError) as caught:
        load_config(values, [path], overrides)
    places = {line.split(": ")[1]: line.split(": ")[0] for line in str(caught.value).splitlines()}
    assert places == {
        "stats.bootstrap_samples": f"{path}, line 9",
        "stats.confidence": "command line (--config)",
        "temps.1": "command line (--config)",
    }


def test_a_bad_environment_variable_is_named(written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_BACKEND", "loca")
    with pytest.raises(UserError, match="environment variable ASSAY_BACKEND: backend"):
        read_config(written(MINIMAL))


def test_a_sweep_expands_into_trials(written) -> None:
    text = MINIMAL + (
        "sweep:\n  models: [resources/models/assay-demo.gguf]\n  temps: [0, 0.70]\n"
        "  top_p: [0.9, 1.0]\n  top_k: [10, 20]\n"
    )
    config = read_config(written(text))
    found = trials.trials(config)
    assert [trial.folder for trial in found] == [
        f"results/mine/llama_cpp/assay-demo/top_p{p}-top_k{k}/abstention"
        for p in (0.9, 1.0)
        for k in (10, 20)
    ]
    assert trials.temps(config) == ["0.0", "0.7"]
    assert found[1].decoding.top_k == 20


def test_several_named_backends_share_the_experiment(written) -> None:
    text = MINIMAL + (
        "backends:\n  here: {}\n  server: {local_engine: ollama, local_model: 'qwen2.5:7b'}\n"
    )
    folders = [trial.folder for trial in trials.trials(read_config(written(text)))]
    assert folders == [
        "results/mine/here/assay-demo/default/abstention",
        "results/mine/server/qwen2.5-7b/default/abstention",
    ]


@pytest.mark.parametrize(
    ("backends", "line"),
    [
        ("local_binding: llama_cpp_python\n", r"line 9: local_binding"),
        (
            "backends:\n  here: {}\n  there: {local_binding: llama_cpp_python}\n",
            r"line 11: backends\.there\.local_binding",
        ),
    ],
)
def test_a_library_that_is_not_installed_is_told_before_any_job(
    written, backends: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_config(written(MINIMAL + backends))
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    with pytest.raises(UserError, match=rf"{line}: the library .* not installed.*make llama-cpp"):
        read_config(written(MINIMAL + backends))


def test_a_hosted_model_at_two_addresses_is_refused(written) -> None:
    """The second would never be asked, and both would seem to give equal answers."""
    text = MINIMAL + (
        "model_id: gpt-4o-mini\nbackends:\n  direct: {backend: openai}\n"
        "  again: {backend: openai, use_batch_api: false}\n"
        "  gateway: {backend: openai, local_endpoint: 'https://gateway.example/v1'}\n"
    )
    message = (
        r"line 13: backends\.gateway: it asks openai for 'gpt-4o-mini' at another address than "
        r"'direct'.* Remove one, or name the gateway as a server of your own"
    )
    with pytest.raises(UserError, match=message):
        read_config(written(text))
    other = text.replace("gateway: {", "gateway: {model_id: gpt-4o, ")
    assert len(models.backends(read_config(written(other)))) == 3


def test_several_treatments_are_arms_of_one_trial(written) -> None:
    text = MINIMAL.replace("treatment: treatment", "treatment: [treatment, polite]")
    (trial,) = trials.trials(read_config(written(text)))
    assert list(trial.arms) == ["control", "treatment", "polite"]


@pytest.mark.parametrize("models", [["a:b", "a-b"], ["A-b", "a-b"], ["a;b", "a-b"]])
def test_models_that_would_share_a_path_are_refused(written, models: list[str]) -> None:
    text = MINIMAL.replace("llama_cpp", "ollama") + f"sweep: {{models: {models}}}\n"
    with pytest.raises(UserError, match="would both be called 'a-b'"):
        trials.trials(read_config(written(text)))


@given(st.text(min_size=1))
@example("CON")
@example("a.gguf.")
@example("x/$HOME; (rm) & 'y'.GGUF")
def test_any_model_has_a_name_that_paths_and_shells_can_take(model: str) -> None:
    config = Config.model_validate(
        {**yaml.safe_load(MINIMAL), "local_engine": "ollama", "local_model": model}
    )
    ((_, name),) = models.models(config)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*(?<!\.)", name)
    assert name.upper() not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT1"}


def test_the_name_of_a_download_is_legal_everywhere() -> None:
    url = "https://a.org/data/my%20file;v=1&'$x'.json?token=s3cret#top"
    spec = DatasetSpec.model_validate({"format": "squad_v2", "url": url, "sha256": "A" * 64})
    assert spec.file_name == "my-20file-v-1-x-.json"
    assert spec.sha256 == "a" * 64


def test_the_reference_page_is_up_to_date() -> None:
    assert Path("docs/config.md").read_text(encoding="utf-8") == reference(), (
        "run: python -m workflow_scripts.config.reference"
    )


def test_every_key_of_the_config_is_described() -> None:
    missing = [name for name, field in Config.model_fields.items() if not field.description]
    assert not missing


def test_snakemake_shows_the_message_and_no_traceback(project: Project) -> None:
    project.replace("config/config.yaml", "n_ctx: 1024", "n_ctxx: 1024")
    failed = project.snakemake("-n", check=False)
    assert failed.returncode != 0
    assert "unknown key; did you mean 'n_ctx'" in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.parametrize("option", [[], ["--configfile", "config/config.yaml"]])
def test_a_syntax_error_is_told_with_its_line(project: Project, option: list[str]) -> None:
    project.replace("config/config.yaml", "n_ctx: 1024", "n_ctx: [1024")
    failed = project.snakemake("-n", *option, check=False)
    assert failed.returncode != 0
    assert "config.yaml, line 13: not valid YAML (while parsing a flow" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_plan_that_cannot_be_written_says_so(project: Project) -> None:
    (project.root / "results").write_text("not a folder", encoding="utf-8")
    failed = project.snakemake("-n", check=False)
    assert failed.returncode != 0
    assert re.search(r"error: results/demo/config.json: cannot be written", failed.stderr)
    assert "Traceback" not in failed.stderr


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        (("--configfile", "nope.yaml"), "error: nope.yaml: no such file"),
        (
            ("--config", "stats.bootstrap_samples=200"),
            'write a key inside a block as --config "stats={bootstrap_samples: 200}"',
        ),
        (("--config", "limit_items"), "error: --config limit_items: expected KEY=VALUE"),
        (("--config", "1st=3"), "'1st' is no key"),
        (("--config", "abstention_phrases=['...']"), "no word to recognise"),
    ],
)
def test_a_mistake_on_the_command_line_ends_in_no_traceback(
    project: Project, option: tuple[str, str], complaint: str
) -> None:
    failed = project.snakemake("-n", *option, check=False)
    assert failed.returncode != 0
    assert complaint in failed.stderr
    assert "Traceback" not in failed.stderr


def test_the_spelling_advised_for_a_nested_key_overrides_it_alone(project: Project) -> None:
    project.snakemake(
        "--cores", "1", "--until", "settings", "--config", "stats={bootstrap_samples: 200}"
    )
    (settings,) = (project.root / "results/demo/settings").glob("stats-*.json")
    stats = json.loads(settings.read_text(encoding="utf-8"))["stats"]
    assert (stats["bootstrap_samples"], stats["permutation_samples"]) == (200, 5000)


def test_command_line_overrides_reach_the_plan(project: Project) -> None:
    plan = project.plan("--config", "parts_per_dataset=5", "default_prompt_set=placebo")
    assert plan["infer"] == 20
    assert plan["trial_report"] == 1


def test_another_config_file_is_not_laid_over_the_demo(project: Project) -> None:
    plan = project.snakemake("-n", "--configfile", "config/fireworks.yaml").stdout
    assert "results/fireworks/fireworks/" in plan
    assert "assay-demo" not in plan


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            "model_id: claude-haiku-4-5\ntemps: [1.5]\n",
            r"line \d+: temps: temperature 1\.5 is more",
        ),
        ("model_id: claude-opus-5-5\n", r"max_new_tokens: claude-opus-5-5 thinks before it"),
    ],
)
def test_what_a_model_cannot_do_is_told_before_any_job(written, lines: str, message: str) -> None:
    local = (
        "backend: local\nlocal_engine: llama_cpp\nlocal_model: resources/models/assay-demo.gguf\n"
    )
    assert local in MINIMAL
    with pytest.raises(UserError, match=message):
        read_config(written(MINIMAL.replace(local, f"backend: anthropic\n{lines}")))
