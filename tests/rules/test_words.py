from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acontext_store.tokenizer import stem, words


def test_forms_of_one_word_are_one_term() -> None:
    assert {stem(word) for word in ("cancel", "cancels", "cancelled", "canceled", "cancelling", "cancellation")} == {
        "cancel"
    }
    assert {stem(word) for word in ("modify", "modifies", "modified", "modifying")} == {"modify"}
    assert {stem(word) for word in ("exchange", "exchanges", "exchanged", "exchanging")} == {"exchang"}
    assert {stem(word) for word in ("item", "items")} == {"item"}


def test_names_of_tools_are_found_by_their_words() -> None:
    assert words("exchange_delivered_order_items") == words("exchange delivered order items")


def test_stop_words_are_left_out_and_repeats_are_kept() -> None:
    assert words("The order and the order") == ["order", "order"]


def test_words_of_scripts_without_spaces_become_pairs() -> None:
    assert words("東京タワー") == ["東京", "京タ", "タワ", "ワー"]
    assert set(words("取消订单")) & set(words("请取消我的订单"))


@pytest.mark.parametrize("word", ["is", "bus", "gas", "red", "ring", "sing", "string", "need", "x2", "naïve"])
def test_short_and_foreign_words_survive(word: str) -> None:
    assert stem(word)


@given(st.text())
def test_any_text_has_words_and_always_the_same(text: str) -> None:
    found = words(text)
    assert found == words(text)
    assert all(word and word == word.strip() and " " not in word for word in found)
