"""The config: its keys, its messages, its trials."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY, Project

from workflow_scripts.config import trials
from workflow_scripts.config.load import ENVIRONMENT, load_config, read_config
from workflow_scripts.config.reference import reference
from workflow_scripts.config.schema import Config
from workflow_scripts.errors import UserError

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
        assert trials.trials(read_config(path)), path


def test_fireworks_is_the_backend_when_none_is_named(written) -> None:
    text = MINIMAL.split("backend: local", maxsplit=1)[0] + "model_id: some/model\n"
    text += MINIMAL[MINIMAL.index("datasets") :]
    assert list(trials.backends(read_config(written(text)))) == ["fireworks"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("n_ctx_", "n_ctx_: 5\n"),
            r"mine\.yaml, line 9: n_ctx_: unknown key; did you mean 'n_ctx'",
        ),
        (("", "n_ctx: many\n"), r"mine\.yaml, line 9: n_ctx: .*valid integer.*'many'"),
        (("", "stats: {bootstrap: 3}\n"), r"line 9: stats\.bootstrap: unknown key; did you mean"),
        (("", "stats: {tost_margins: {bleu: 0.1}}\n"), r"stats\.tost_margins\.bleu: .*'em', 'f1'"),
        (("", "stats: {tost_margins: {em: 0}}\n"), r"stats\.tost_margins\.em: .*greater than 0"),
        (("", "temps: [hot]\n"), r"line 9: temps\.0: 'hot' is not a temperature"),
        (("", "backend: openay\n"), r"backend: Input should be 'fireworks', 'openai'.*'openay'"),
        (("experiment: mine", "experiment: 'a:b'"), r"line 1: experiment: .*Windows"),
        (("experiment: mine", "experiment: CON"), r"line 1: experiment: .*Windows"),
        (("assay-demo.gguf", "assay-dmo.gguf"), r"line 4: local_model: the model file .*did you "),
        (("treatment: treatment", "treatment: treatmnt"), r"line 8: .*did you mean '.*treatment"),
        (("open_book.jsonl", "closed.jsonl"), r"line 6: datasets\.demo\.path: the data file"),
        (("local_engine: llama_cpp\n", ""), r"needs local_engine: 'ollama' or 'llama_cpp'"),
        (("", "default_prompt_set: x\n"), r"no prompt set 'x'; there are \['abstention'\]"),
        (("task: open_book", "task: shut"), r"datasets\.demo\.task: Input should be 'open_book'"),
        ((", task: open_book", ""), r"datasets\.demo: format 'jsonl' needs task"),
    ],
)
def test_a_mistake_is_one_clear_message(written, change: tuple[str, str], message: str) -> None:
    old, new = change
    text = MINIMAL.replace(old, new) if old in MINIMAL and old else MINIMAL + new
    with pytest.raises(UserError, match=message):
        read_config(written(text))


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
    assert trials.backends(from_environment)["ollama"].model == "llama3:8b"
    overrides = {"local_model": "phi:2"}
    both = load_config({**values, **overrides}, [path], overrides)
    assert trials.backends(both)["ollama"].model == "phi:2"


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


def test_several_treatments_are_arms_of_one_trial(written) -> None:
    text = MINIMAL.replace("treatment: treatment", "treatment: [treatment, polite]")
    (trial,) = trials.trials(read_config(written(text)))
    assert list(trial.arms) == ["control", "treatment", "polite"]


def test_models_that_would_share_a_path_are_refused(written) -> None:
    text = MINIMAL.replace("llama_cpp", "ollama") + "sweep: {models: ['a:b', 'a-b']}\n"
    with pytest.raises(UserError, match="would both be called 'a-b'"):
        trials.trials(read_config(written(text)))


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


def test_command_line_overrides_reach_the_plan(project: Project) -> None:
    plan = project.plan("--config", "parts_per_dataset=5", "default_prompt_set=placebo")
    assert plan["infer"] == 20
    assert plan["trial_report"] == 1


def test_another_config_file_is_not_laid_over_the_demo(project: Project) -> None:
    plan = project.snakemake("-n", "--configfile", "config/fireworks.yaml").stdout
    assert "results/fireworks/fireworks/" in plan
    assert "assay-demo" not in plan
