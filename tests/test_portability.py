"""Windows, as far as it can be proven elsewhere: commands, names, paths, line ends, markers."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY, NewClone, Project, find_program
from pathvalidate import validate_filepath
from snakemake.utils import cmd_exe_quote
from snakemake.utils import format as snakemake_format

from workflow_scripts.doctor import machine

RULE_FILES = sorted((REPOSITORY / "rules").glob("*.smk"))
LONGEST_COMMAND = 8191  # characters that cmd.exe takes

AWKWARD = (
    "data/two words.csv",
    "data/größe 质量.csv",
    "data/a&b|c>d<e.csv",
    "data/it's (new)^.csv",
    "data/100% sure, $HOME `x` !y!.csv",
    "C:\\Users\\Ann Lee\\data\\",
    "data/~#;*?[a]=b,c",
)
"""Values that a user's own paths may have; not all are legal names everywhere."""


# Commands


def shell_commands() -> dict[str, str]:
    """The command of each rule as it stands in rules/*.smk, by the rule's name."""
    found = {}
    for path in RULE_FILES:
        text = path.read_text(encoding="utf-8")
        for rule in re.split(r"^(?=(?:rule|checkpoint|use rule) )", text, flags=re.MULTILINE):
            shell = re.search(r"^    shell:\n((?:        .+\n?)+)", rule, re.MULTILINE)
            if shell:
                name = re.match(r"(?:rule|checkpoint) (\w+)", rule)
                assert name is not None
                found[name[1]] = "".join(ast.literal_eval(f"({shell[1]})"))
    return found


COMMANDS = shell_commands()


def test_all_rules_that_run_something_are_looked_at() -> None:
    texts = "\n".join(path.read_text(encoding="utf-8") for path in RULE_FILES)
    assert len(COMMANDS) == len(re.findall(r"^    shell:", texts, re.MULTILINE)) > 25
    assert not re.search(r"^    (run|notebook|wrapper|cwl):", texts, re.MULTILINE)
    assert not re.search(r"\bshell\.(prefix|executable)\(", texts)


@pytest.mark.parametrize("rule", COMMANDS)
def test_a_command_has_no_construct_of_one_shell(rule: str) -> None:
    """Plain words and one redirection, which cmd.exe, sh and bash read alike."""
    command = COMMANDS[rule]
    words = re.sub(r"\{[\w.]+(:q)?\}", "X", command).removesuffix(" 2> X").split(" ")
    assert words[:2] == ["python", "-m"]
    module = REPOSITORY.joinpath(*words[2].split(".")).with_suffix(".py")
    assert module.is_file()
    assert all(re.fullmatch(r"[\w./=-]+", word) for word in words), command


def windows_arguments(line: str) -> list[str]:
    """Split a command line as programs do on Windows (the rules of CommandLineToArgvW)."""
    arguments, position = [], 0
    while position < len(line):
        if line[position] == " ":
            position += 1
            continue
        argument, quoted = "", False
        while position < len(line) and (quoted or line[position] != " "):
            slashes = re.compile(r"\\*").match(line, position)
            assert slashes is not None
            count, position = len(slashes[0]), slashes.end()
            if line[position : position + 1] == '"':
                argument += "\\" * (count // 2)
                if count % 2:
                    argument += '"'
                else:
                    quoted = not quoted
                position += 1
            else:
                argument += "\\" * count
                if position < len(line) and (quoted or line[position] != " "):
                    argument += line[position]
                    position += 1
        arguments.append(argument)
    return arguments


def for_cmd(line: str) -> str:
    """What cmd.exe hands over: in quotes, its special characters are letters like others."""
    inside, handed = False, ""
    for character in line:
        inside ^= character == '"'
        assert inside or character not in "&|<>^()", f"cmd.exe acts on {character!r}: {line}"
        handed += character
    assert not inside
    return handed


def test_the_reading_of_windows_command_lines() -> None:
    """The examples of Microsoft's documentation, "Parsing C command-line arguments"."""
    assert windows_arguments('"a b c" d e') == ["a b c", "d", "e"]
    assert windows_arguments('"ab\\"c" "\\\\" d') == ['ab"c', "\\", "d"]
    assert windows_arguments('a\\\\\\b d"e f"g h') == ["a\\\\\\b", "de fg", "h"]
    assert windows_arguments('a\\\\\\"b c d') == ['a\\"b', "c", "d"]
    assert windows_arguments('a\\\\\\\\"b c" d e') == ["a\\\\b c", "d", "e"]


QUOTED = sorted(
    {name for each in COMMANDS.values() for name in re.findall(r"\{([\w.]+):q\}", each)}
)


def test_what_users_name_is_quoted() -> None:
    assert [
        *("input.answers", "input.data", "input.source", "input.system"),
        *("params.source", "params.sources"),
    ] == QUOTED


@pytest.mark.parametrize("value", AWKWARD)
def test_a_users_path_survives_cmd_exe(value: str) -> None:
    line = snakemake_format("python --path {value:q} --more", value=value, quote_func=cmd_exe_quote)
    assert windows_arguments(for_cmd(line)) == ["python", "--path", value, "--more"]


@pytest.mark.not_on_windows("bash reads the command")
@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_a_users_path_survives_a_posix_shell(shell: str) -> None:
    code = "import json, sys; print(json.dumps(sys.argv[1:]))"
    line = snakemake_format(
        "{python:q} -c {code:q} {values:q}", python=sys.executable, code=code, values=list(AWKWARD)
    )
    done = subprocess.run(
        [find_program(shell), "-c", line], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == list(AWKWARD)


def test_the_commands_of_a_run_need_no_quotes(project: Project) -> None:
    """All other values are names that the config check has looked at, and digests."""
    planned = project.snakemake("-n", "-p").stdout
    commands = re.findall(r"^Shell command: (python -m workflow_scripts.+)$", planned, re.MULTILINE)
    assert len(commands) > 30
    for command in commands:
        assert re.fullmatch(r"[\w .,/=-]+( 2> [\w./-]+)?", command), command
        assert len(command) < LONGEST_COMMAND


# Names and paths


def test_all_files_of_a_run_are_legal_and_short_on_windows(demo_run: Project) -> None:
    made = [
        path.relative_to(demo_run.root)
        for folder in ("results", ".snakemake")
        for path in (demo_run.root / folder).rglob("*")
    ]
    assert len(made) > 300
    for path in made:
        validate_filepath(path.as_posix(), platform="windows")
    names = [path.as_posix().casefold() for path in made]
    assert len(set(names)) == len(names)
    # A file is written under a longer name first: .{name}.{process}.tmp
    longest = max(len(path.as_posix()) for path in made) + len("..1234567.tmp")
    assert longest <= machine.LONGEST_BELOW_PROJECT


def test_all_files_of_a_clone_are_legal_on_windows() -> None:
    listed = subprocess.run(
        [find_program("git"), "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True
    )
    tracked = [each.decode() for each in listed.stdout.split(b"\0") if each]
    assert tracked
    for path in tracked:
        validate_filepath(path, platform="windows")
        assert len(path) <= machine.LONGEST_BELOW_PROJECT
    assert len({path.casefold() for path in tracked}) == len(tracked)


# Line ends


def with_windows_line_ends(project: Project, pattern: str) -> int:
    changed = 0
    for path in project.root.glob(pattern):
        content = path.read_bytes()
        assert b"\r" not in content
        path.write_bytes(content.replace(b"\n", b"\r\n"))
        changed += 1
    return changed


def test_a_checkout_with_windows_line_ends_asks_the_same(
    new_clone: NewClone, tmp_path: Path
) -> None:
    """Requests are equal byte for byte, and so are the digests by which answers are found."""
    first, second = new_clone(tmp_path / "lf"), new_clone(tmp_path / "crlf")
    for pattern in ("prompts/*/*.txt", "resources/demo/*.jsonl", "config/*.yaml", "rules/*.smk"):
        assert with_windows_line_ends(second, pattern)
    with_windows_line_ends(second, "workflow_scripts/**/*.py")
    with_windows_line_ends(second, "resources/*.yaml")
    fewer = ("limit_items=8", "parts_per_dataset=1", "default_prompt_set=abstention")
    limit = ("--cores", "2", "--config", *fewer, "--")
    for project in (first, second):
        project.snakemake(*limit, "stage_build")
    made = sorted((first.root / "results/demo").glob("*/**/*.jsonl"))
    assert len({path.parent for path in made}) >= 3  # items, questions, inputs
    for path in made:
        same = second.root / path.relative_to(first.root)
        assert same.read_bytes() == path.read_bytes(), path.name
    # Going from one to the other, as a new checkout does, asks nothing again.
    first.snakemake(*limit, "stage_eval")
    for pattern in ("prompts/*/*.txt", "resources/demo/*.jsonl", "workflow_scripts/**/*.py"):
        with_windows_line_ends(first, pattern)
    journal = {path: path.read_bytes() for path in first.root.glob("results/journal/*/*.jsonl")}
    assert journal
    first.snakemake(*limit, "stage_eval")
    assert journal == {
        path: path.read_bytes() for path in first.root.glob("results/journal/*/*.jsonl")
    }


def test_git_checks_out_the_line_ends_that_are_committed() -> None:
    rules = (REPOSITORY / ".gitattributes").read_text(encoding="utf-8").splitlines()
    assert rules[0] == "* text=auto eol=lf"


# Tests that Windows leaves out

POSIX_ALONE = re.compile(
    r"os\.(killpg|fork|geteuid|getuid|setsid|mkfifo)\b|start_new_session|signal\.SIGKILL\b"
    r"|\.chmod\(|symlink_to|/bin/sh|#!/|find_program\(\"(?:make|sh|bash)\"|\[find_program\(shell"
)


def not_on_windows(function: ast.FunctionDef) -> list[str] | None:
    """The reasons of a test's marker; None without the marker."""
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith(
            "mark.not_on_windows"
        ):
            return [ast.literal_eval(each) for each in decorator.args]
    return None


def test_only_tests_with_a_reason_are_left_out_on_windows() -> None:
    left_out = 0
    for path in sorted((REPOSITORY / "tests").glob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines(keepends=True)
        if path != Path(__file__):
            assert "skipif" not in text, path.name
        for function in ast.walk(ast.parse(text)):
            if not isinstance(function, ast.FunctionDef) or not function.name.startswith("test_"):
                continue
            reasons = not_on_windows(function)
            body = "".join(lines[function.lineno - 1 : function.end_lineno])
            if reasons is None:
                found = POSIX_ALONE.search(body)
                assert found is None, f"{path.name}, {function.name}: {found and found[0]}"
            else:
                (reason,) = reasons
                assert len(reason.split()) >= 3
                left_out += 1
    assert left_out >= 5
