"""What the files for contributors, citations and catalogs say is so."""

from __future__ import annotations

import re
import tomllib

import yaml
from conftest import REPOSITORY


def read(path: str) -> str:
    return (REPOSITORY / path).read_text(encoding="utf-8")


PROJECT = tomllib.loads(read("pyproject.toml"))
VERBS = set(read("Makefile").split(".PHONY:")[1].splitlines()[0].split())


def test_the_citation_is_that_of_this_version() -> None:
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["version"] == PROJECT["project"]["version"]
    assert citation["license"] == PROJECT["project"]["license"]
    (author,) = citation["authors"]
    assert re.search(rf"^Copyright \(c\) \d+ {author['name']}$", read("LICENSE"), re.MULTILINE)


def test_the_workflow_catalog_knows_all_keys() -> None:
    """https://snakemake.github.io/snakemake-workflow-catalog/docs/about/adding_workflows.html"""
    catalog = yaml.safe_load(read(".snakemake-workflow-catalog.yml"))
    assert set(catalog) == {"usage"}
    assert set(catalog["usage"]) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert set(catalog["usage"]["mandatory-flags"]) == {"desc", "flags"}
    deployment = catalog["usage"]["software-stack-deployment"]
    assert set(deployment) == {"conda", "apptainer", "apptainer+conda"}
    assert {type(each) for each in deployment.values()} == {bool}


def test_hooks_run_pinned_tools_and_download_nothing() -> None:
    pinned = set(re.findall(r"^([\w.-]+)==", read("envs/test.txt"), re.MULTILINE))
    repositories = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    assert [each["repo"] for each in repositories] == ["local"]
    for hook in repositories[0]["hooks"]:
        assert hook["language"] == "system"
        assert hook["entry"].split()[0] in pinned


def test_what_is_installed_apart_has_the_versions_of_the_tests() -> None:
    of_tests = read("envs/test.txt").splitlines()
    for path in ("requirements.txt", "envs/llama-cpp.txt", "envs/nli.txt"):
        pins = {line for line in read(path).splitlines() if not line.startswith("#")}
        assert pins
        assert pins <= set(of_tests), path
    # Compiled, so not part of set-up.
    assert "llama-cpp-python" not in read("requirements.txt")


def test_the_verbs_for_contributors_exist() -> None:
    for page in ("README.md", "CONTRIBUTING.md"):
        named = set(re.findall(r"(?:^|`)make ([\w-]+)", read(page), re.MULTILINE))
        assert named
        assert named <= VERBS


def test_the_quick_tests_leave_out_what_the_guide_says() -> None:
    (expression,) = re.findall(r'-m "(not .*)"', read("Makefile"))
    markers = [each.split(":")[0] for each in PROJECT["tool"]["pytest"]["ini_options"]["markers"]]
    declared = [each for each in markers if not each.startswith("not_on_windows")]
    assert expression == " and ".join(f"not {name}" for name in declared)
    for name in declared:
        assert f"`{name}`" in read("CONTRIBUTING.md")


def test_clones_in_which_snakemake_runs_come_from_the_fixture_that_marks_the_test() -> None:
    files = sorted((REPOSITORY / "tests").glob("test_*.py"))
    imported = [
        each.name for each in files if re.search(r"import.*\bclone\b", read(f"tests/{each.name}"))
    ]
    # These run no Snakemake in it.
    assert imported == ["test_code_digest.py", "test_doctor.py"]


def test_programs_are_found_by_the_fixture_that_marks_the_test() -> None:
    files = sorted((REPOSITORY / "tests").glob("*.py"))
    assert [each.name for each in files if "shutil.which" in read(f"tests/{each.name}")] == [
        "conftest.py",
        "test_project_files.py",
        "test_storage.py",  # does without the program where it is not there
    ]
