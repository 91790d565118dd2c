"""Which tests are taken for slow, by reading their code; and what becomes of one that this reading overlooks."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import pytest

from .processes import Reach, none_started


def starts() -> None:
    subprocess.run([sys.executable, "-c", ""], check=True)


def by_a_helper() -> None:
    starts()


def inside() -> None:
    def inner() -> None:
        by_a_helper()

    inner()


def names_it_only() -> str:
    return "subprocess"


class Tests:
    def helper(self) -> None:
        starts()

    def by_a_method(self) -> None:
        self.helper()

    def circle(self) -> None:
        self.circle()


@pytest.mark.parametrize("test", [starts, by_a_helper, inside, partial(by_a_helper), Tests.helper])
def test_a_process_is_seen_through_helpers(test: object) -> None:
    assert Reach()(test)


def test_a_process_is_seen_through_the_methods_of_a_class() -> None:
    assert Reach()(Tests.by_a_method, Tests)
    assert not Reach()(Tests.circle, Tests)


def test_a_word_is_no_process() -> None:
    assert not Reach()(names_it_only)


def test_a_hidden_process_fails_its_test(request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("slow"), "this one is seen, and may start one"
    with pytest.raises(AssertionError, match=r"not marked slow"), none_started():
        subprocess.run([sys.executable, "-c", ""], check=True)


def test_what_no_process_starts_passes_the_guard() -> None:
    with none_started():
        pass
