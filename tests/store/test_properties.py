"""Whatever is done, in whatever order: the store is as a few lines of Python say it should be."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acontext_store.containment import contains
from acontext_store.cursors import decode_cursor, encode_cursor
from acontext_store.sql.sqlite import SqliteStore
from acontext_store.testing.factories import a_body, a_session, a_space, an_edit, an_outcome, done, learned, said
from acontext_store.testing.spaces import add, places
from acontext_store.tokenizer import words
from acontext_store.types import Part

from ..examples import examples

_few = examples(25)


@contextmanager
def _a_store(empty: Path) -> Iterator[SqliteStore]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "a.db"
        path.write_bytes(empty.read_bytes())
        store = SqliteStore(path, project_id="p1")
        try:
            yield store
        finally:
            store.close()


@pytest.fixture(scope="session")
def empty(_empty_database: Path) -> Path:
    return _empty_database


@_few
@given(
    turns=st.lists(
        st.tuples(st.sampled_from("abc"), st.lists(st.integers(0, 12), max_size=4), st.booleans(), st.booleans()),
        max_size=25,
    )
)
def test_messages_are_kept_once_and_in_order(empty: Path, turns: list[tuple[str, list[int], bool, bool]]) -> None:
    kept: dict[str, list[str]] = {}
    with _a_store(empty) as store:
        pending = []
        for session_id, numbers, spoils, waits in turns:
            messages = [said(str(number), id=f"m{number}") for number in numbers]
            if spoils:
                messages.append(said("spoiled").model_copy(update={"native": {"it": object()}}))
            else:
                mine = kept.setdefault(session_id, [])
                mine += [m.id for m in {m.id: m for m in messages}.values() if m.id not in mine]
            pending.append((spoils, store.append(session_id, messages, ensure=a_session(session_id))))
            if waits:
                pending[-1][1].exception()
        for spoils, one in pending:
            assert (one.exception() is not None) == spoils
        assert {session.id for session in done(store.sessions()).items} == set(kept)
        for session_id, ids in kept.items():
            messages = done(store.messages(session_id)).items
            assert [message.id for message in messages] == ids
            assert [message.seq for message in messages] == list(range(1, len(ids) + 1))


@_few
@given(
    text=st.text(), reason=st.text(st.characters(exclude_categories=[])), native=st.dictionaries(st.text(), st.text())
)
def test_any_text_comes_back_as_it_was(empty: Path, text: str, reason: str, native: dict[str, str]) -> None:
    message = said("x").model_copy(update={"parts": (Part(type="text", text=text),), "native": native})
    outcome = an_outcome().model_copy(update={"reason": reason})
    with _a_store(empty) as store:
        done(store.append("s1", [message], [outcome], ensure=a_session()))
        (kept,) = done(store.messages("s1")).items
        assert (kept.parts[0].text, kept.native) == (text, native)
        assert done(store.outcomes("s1"))[0].reason == reason


_word = st.sampled_from(["hotel", "flight", "book", "cancel", "table", "car", "日本語", "naïve"])
_phrase = st.lists(_word, min_size=1, max_size=6).map(" ".join)


@_few
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["k1", "k2", "k3", "k4"]), _phrase, st.lists(_phrase, max_size=3)), max_size=10
    ),
    query=_phrase,
)
def test_search_is_bm25_over_the_texts_that_there_are(
    empty: Path, steps: list[tuple[str, str, list[str]]], query: str
) -> None:
    texts: dict[str, list[tuple[str, str]]] = {}
    with _a_store(empty) as store:
        space_id = a_space(store)
        for skill_id, use_when, requests in steps:
            learned(store, space_id, an_edit(skill_id, body=a_body(use_when), requests=requests))
            texts[skill_id] = [("skill", use_when), *(("request", text) for text in dict.fromkeys(requests))]
        documents = [(skill_id, kind, text) for skill_id, own in texts.items() for kind, text in own]
        terms = list(dict.fromkeys(words(query)))
        counts = {term: sum(term in words(text) for _, _, text in documents) for term in terms}
        assert done(store.frequencies(space_id, terms)) == (len(documents), counts)
        expected = _bm25(documents, terms, counts)
        found = done(store.search(space_id, terms, limit=200))
        assert Counter((hit.skill_id, hit.kind, hit.text) for hit in found) == Counter(expected.keys())
        assert all(hit.score == pytest.approx(expected[hit.skill_id, hit.kind, hit.text]) for hit in found)
        assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)


def _bm25(
    documents: list[tuple[str, str, str]], terms: list[str], counts: dict[str, int]
) -> dict[tuple[str, str, str], float]:
    average = sum(len(words(text)) for _, _, text in documents) / max(len(documents), 1)
    scores: dict[tuple[str, str, str], float] = {}
    for document in documents:
        found = words(document[2])
        for term in terms:
            if times := found.count(term):
                weight = math.log(1 + (len(documents) - counts[term] + 0.5) / (counts[term] + 0.5))
                bound = 1.2 * (1 - 0.75 + 0.75 * len(found) / max(average, 1.0))
                scores[document] = scores.get(document, 0.0) + weight * times * 2.2 / (times + bound)
    return scores


@_few
@given(
    moves=st.lists(
        st.tuples(st.sampled_from("abcd"), st.sampled_from(["x", "y"]), st.none() | st.integers(-2, 6)), max_size=12
    )
)
def test_siblings_are_always_numbered_from_zero(empty: Path, moves: list[tuple[str, str, int | None]]) -> None:
    children: dict[str, list[str]] = {"x": list("abcd"), "y": []}
    with _a_store(empty) as store:
        space_id = a_space(store)
        for id in "xy":
            add(store, space_id, "folder", id)
        for id in "abcd":
            add(store, space_id, "page", id, "x")
        for id, parent_id, sort in moves:
            done(store.move_block(space_id, id, parent_id=parent_id, sort=sort))
            for siblings in children.values():
                if id in siblings:
                    siblings.remove(id)
            there = children[parent_id]
            there.insert(len(there) if sort is None else max(sort, 0), id)
        for parent_id, ids in children.items():
            assert places(store, space_id, parent_id) == [(id, place) for place, id in enumerate(ids)]


@given(place=st.text(min_size=1).filter(lambda text: "|" not in text), id=st.text(min_size=1))
def test_a_cursor_comes_back_as_it_was(place: str, id: str) -> None:
    cursor = encode_cursor(place, id)
    assert cursor.isascii()
    assert "=" not in cursor
    assert decode_cursor(cursor) == (place, id)


_names = st.sampled_from(["a", "b", 'b"', "é", ""])
_leaf = st.sampled_from([None, True, False, 0, 1, -2, 0.5, 1.0, -0.0, 1e16, 10**16, "a", "1", 'b":1', "\ud800"])
_json = st.recursive(
    _leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3), max_leaves=8
)
_object = st.dictionaries(_names, _json, max_size=3)


def _part(data: st.DataObject, value: object) -> object:
    """Something that the value contains: less of it, lists in another order, numbers of the other type."""
    if isinstance(value, dict):
        return {name: _part(data, value[name]) for name in value if data.draw(st.booleans())}
    if isinstance(value, list):
        return [_part(data, one) for one in data.draw(st.permutations(value)) if data.draw(st.booleans())]
    if isinstance(value, int) and not isinstance(value, bool) and data.draw(st.booleans()):
        return float(value)
    return value


@_few
@given(all_configs=st.lists(st.none() | _object, min_size=1, max_size=8), data=st.data())
def test_a_filter_finds_what_contains_it_and_nothing_else(
    empty: Path, all_configs: list[dict[str, object] | None], data: st.DataObject
) -> None:
    number = data.draw(st.integers(0, len(all_configs) - 1))
    chosen = all_configs[number]
    asked: dict[str, object] = data.draw(_object) if chosen is None else _part(data, chosen)  # type: ignore[assignment]
    with _a_store(empty) as store:
        for n, configs in enumerate(all_configs):
            done(store.create_session(a_session(f"s{n}", configs=configs)))
        found = {session.id for session in done(store.sessions(filter_by_configs=asked)).items}
    expected = {f"s{n}" for n, configs in enumerate(all_configs) if configs is not None and contains(configs, asked)}
    if not asked:
        expected = {f"s{n}" for n in range(len(all_configs))}
    elif chosen is not None:
        assert f"s{number}" in found
    assert found == expected
