"""Every adapter has environments with the lowest and the newest version of its framework; nothing is left out."""

from __future__ import annotations

import re
import tomllib
from importlib.util import find_spec

import pytest

from .envs.definitions import ROOT, environments

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
ALL = environments()
ADAPTERS = [name for name in PROJECT["entry-points"]["acontext_plugins.adapters"] if name != "function"]


def test_the_development_environment_holds_every_framework() -> None:
    wanted = {environment.modules[0] for environment in ALL.values() if environment.extra in ADAPTERS}
    assert [module for module in wanted if find_spec(module) is None] == []


def test_every_adapter_is_tested_with_the_lowest_and_the_newest_framework() -> None:
    for extra in ADAPTERS:
        kinds = {name.rpartition("-")[2] for name, environment in ALL.items() if environment.extra == extra}
        # the development environment has the newest OpenAI Agents SDK, alone of its kind: the demo runs on it
        assert kinds == ({"lowest"} if extra == "openai-agents" else {"lowest", "newest"}), extra


def test_the_lowest_versions_are_the_floors_that_users_are_told() -> None:
    for name, environment in ALL.items():
        if name.endswith("-lowest"):
            floors = dict(re.findall(r"^([a-z-]+)>=([\d.]+)", "\n".join(EXTRAS[environment.extra]), re.MULTILINE))
            for pin in environment.pins:
                package, version = pin.split("==")
                floor = floors[package.partition("[")[0]]
                assert version.removesuffix(".0") == floor.removesuffix(".0"), f"{name}: {pin}, floor {floor}"


@pytest.mark.parametrize("name", ALL)
def test_its_versions_are_written_down_without_any_address(name: str) -> None:
    environment = ALL[name]
    lines = environment.constraints.read_text().split()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+", line) for line in lines)
    assert {pin.replace("[proxy]", "") for pin in environment.pins} <= set(lines)


@pytest.mark.parametrize("name", ALL)
def test_its_tests_and_pages_are_there(name: str) -> None:
    named = (*ALL[name].tests, *ALL[name].without, *ALL[name].pages)
    assert [path for path in named if not (ROOT / path).exists()] == []
