"""The page on settings: it has all of them, under names that work."""

from __future__ import annotations

import pytest

from acontext_plugins.settings import Settings

from .settings_page import BEGIN, END, PAGE, rows, table, variable

SETTINGS = dict(rows())


def test_the_page_has_every_setting_as_it_is() -> None:
    written = PAGE.read_text().partition(BEGIN)[2].partition(END)[0].strip()
    assert written == table().strip(), "write it anew: python -m tests.settings_page"


@pytest.mark.parametrize("path", SETTINGS)
def test_every_setting_says_what_it_is(path: str) -> None:
    assert SETTINGS[path].description


@pytest.mark.parametrize("path", SETTINGS)
def test_every_setting_can_be_set_by_its_variable(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    field = SETTINGS[path]
    default = field.get_default(call_default_factory=True)
    given = {"durability": "full", "learn.tasks": "all", "embedding.threshold": "0.5"}.get(path)
    if isinstance(default, bool):
        given = str(not default).lower()
    elif isinstance(default, dict):
        given = '{"a": 1}'
    elif isinstance(default, tuple):
        given = '[{"description": "money was moved"}]'
    elif isinstance(default, int | float):
        given = given or str(int(default) + 1)
    monkeypatch.setenv(variable(path), given or "17")
    found = Settings()
    for name in path.split("."):
        found = getattr(found, name)
    assert found not in (default, None)
