"""Which skills answer a query."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from acontext_plugins.retrieve.bm25 import MemoryIndex
from acontext_plugins.retrieve.ranking import choose_terms, query_terms, rank
from acontext_store.tokenizer import parts_of, searchable
from acontext_store.types import SearchHit, SearchText

from ..examples import examples

THINGS = ["lamp", "shoes", "keyboard", "blue shirt"]
SHOP = {
    "return": ("return_items", [f"please return my {thing}, I want to send it back" for thing in THINGS]),
    "exchange": ("exchange_items", [f"I would like to exchange my {thing}, swap it" for thing in THINGS]),
    "both": (
        "return_items exchange_items",
        [f"return the {a} and exchange the {b}" for a, b in pairwise(THINGS)],
    ),
    "cancel": ("cancel_order", [f"cancel my order of the {thing}" for thing in THINGS]),
}


def shop() -> MemoryIndex:
    index = MemoryIndex()
    for skill_id, (tools, said) in SHOP.items():
        index.add("shop", skill_id, [SearchText(kind="request", text=searchable(text, tools.split())) for text in said])
    return index


def best(index: MemoryIndex, query: str) -> list[str]:
    return [skill_id for skill_id, _ in rank(query, *index.gather("shop", query_terms(query)))]


def test_what_is_to_be_done_counts_more_than_what_it_is_about() -> None:
    index = shop()
    assert best(index, "exchange my lamp please")[0] == "exchange"
    assert best(index, "cancel the order of the keyboard")[0] == "cancel"


def test_two_wishes_find_the_skill_that_does_both() -> None:
    assert best(shop(), "return the shoes and exchange the lamp")[0] == "both"


def test_a_stranger_gets_nothing() -> None:
    assert best(shop(), "what is the weather going to be in Paris over the weekend, and is the museum open") == []
    assert best(shop(), "") == []
    assert best(shop(), "W1234 99 #A1") == []


def test_the_only_skill_of_a_new_space_is_found_and_only_when_it_fits() -> None:
    index = MemoryIndex()
    index.add("shop", "news", [SearchText(kind="skill", text="search news: Find news about electric cars")])
    assert best(index, "Find me news about electric cars") == ["news"]
    assert best(index, "Book a table for two people tonight at an Italian restaurant") == []


def test_a_skill_without_tools_stands_for_itself() -> None:
    index = shop()
    index.add("shop", "human", [SearchText(kind="skill", text="Wrap presents in gift paper with a ribbon")])
    assert best(index, "wrap the presents in paper with ribbon")[0] == "human"


def test_search_texts_say_their_tools_again() -> None:
    assert parts_of(searchable("a\nb  c", ["t1", "t2", "t1"])) == ("a b c", ("t1", "t2"))
    assert parts_of("plain words") == ("plain words", ())


def test_values_are_no_terms() -> None:
    assert query_terms("Cancel order #W123 for bob99@x.org cancel") == ["cancel", "order", "x", "org"]


def test_common_terms_are_left_out_once_the_budget_is_spent() -> None:
    assert choose_terms(["a", "b", "c", "d"], {"a": 9000, "b": 5, "c": 0, "d": 500}, budget=1000) == ["b", "d"]
    assert choose_terms(["a"], {"a": 9000}, budget=1000) == ["a"]


@examples(200)
@given(
    st.text(max_size=200),
    st.lists(
        st.tuples(st.sampled_from("abc"), st.text(max_size=80), st.lists(st.sampled_from(["t1", "t2"]))), max_size=12
    ),
)
def test_any_query_has_an_answer_and_always_the_same(query: str, rows: list[tuple[str, str, list[str]]]) -> None:
    hits = [SearchHit(skill_id=i, kind="request", text=searchable(text, tools), score=1.0) for i, text, tools in rows]
    terms = query_terms(query)
    once = rank(query, hits, len(hits), dict.fromkeys(terms, 1))
    assert once == rank(query, hits, len(hits), dict.fromkeys(terms, 1))
    assert [score for _, score in once] == sorted((score for _, score in once), reverse=True)
    assert len({skill_id for skill_id, _ in once}) == len(once) <= 5
