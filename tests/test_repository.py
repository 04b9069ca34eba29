"""What others need to join in: workflows, forms and scripts agree with what they speak of."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml"))


def load(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


def test_every_python_that_is_claimed_is_tested() -> None:
    claimed = [
        name.rpartition(" ")[2]
        for name in PROJECT["project"]["classifiers"]
        if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", name)
    ]
    jobs = load(".github/workflows/ci.yml")["jobs"]
    assert jobs["test"]["strategy"]["matrix"]["python"] == claimed
    assert PROJECT["project"]["requires-python"] == f">={claimed[0]}"


@pytest.mark.parametrize("workflow", ["ci", "release"])
def test_workflows_have_no_more_rights_than_they_need(workflow: str) -> None:
    found = load(f".github/workflows/{workflow}.yml")
    assert found["permissions"] == {"contents": "read"}
    for name, job in found["jobs"].items():
        wanted = {"id-token": "write"} if name == "publish" else None
        assert job.get("permissions") == wanted


@pytest.mark.parametrize("workflow", ["ci", "release"])
def test_what_workflows_run_is_there(workflow: str) -> None:
    text = (ROOT / ".github" / "workflows" / f"{workflow}.yml").read_text()
    for script in re.findall(r"run: ((?:scripts|examples)/\S+)", text):
        assert (ROOT / script).stat().st_mode & 0o111, script


def test_whoever_misses_pods_is_asked_for_the_doctors_report() -> None:
    asked = next(form for form in FORMS if form.name == "pods-not-found.yml").read_text()
    assert "headless-discovery doctor SERVICE --json" in asked


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.stem)
def test_forms_have_what_the_site_wants(form: Path) -> None:
    found = yaml.safe_load(form.read_text())
    assert {"name", "description", "body"} <= set(found)
    ids = [field["id"] for field in found["body"] if field["type"] != "markdown"]
    assert len(set(ids)) == len(ids) > 0
    assert all(field["attributes"]["label"] for field in found["body"] if "id" in field)


def test_every_script_is_described() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for script in (ROOT / "scripts").glob("[a-z]*"):
        assert f"`scripts/{script.name}" in text, script.name


def test_the_lock_holds_every_tool_and_says_nothing_of_where_it_was_made() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()[1:]
    locked = {re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower() for line in lines}
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9._+!]+", line) for line in lines)
    groups = PROJECT["dependency-groups"]
    wanted = [one for name in ("dev", "docs", "release") for one in groups[name]]
    for requirement in (one for one in wanted if isinstance(one, str)):
        name = re.split(r"[>=\[ ]", requirement)[0]
        assert re.sub(r"[-_.]+", "-", name).lower() in locked, f"{name}: run scripts/lock"
