"""What a model reads, a person can see."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acontext_plugins.inject.render import render
from acontext_store.records import visible
from acontext_store.types import Block, Skill, SkillBody, Step

#: Ranges of characters that no screen shows.
UNSEEN = [
    *range(0x200B, 0x2010),
    *range(0x202A, 0x202F),
    *range(0x2060, 0x2070),
    *range(0xFE00, 0xFE10),
    *range(0xE0000, 0xE0080),
    *range(0xE0100, 0xE01F0),
    0xAD,
    0x34F,
    0x61C,
    0x115F,
    0x1160,
    0x180E,
    0x2800,
    0x3164,
    0xFEFF,
    0xFFA0,
    0x1D173,
]
unseen = st.sampled_from([chr(code) for code in UNSEEN])


def shown(text: str) -> bool:
    return not any(ord(char) in UNSEEN or unicodedata.category(char) in ("Cf", "Zl", "Zp") for char in text)


@given(st.lists(st.one_of(st.text(max_size=4), unseen), max_size=30).map("".join))
def test_no_unseen_character_is_left_and_twice_is_once(text: str) -> None:
    clean = visible(text)
    assert shown(clean)
    assert visible(clean) == clean
    assert [char for char in clean if char.isalnum()] == [
        char for char in text if char.isalnum() and ord(char) not in UNSEEN
    ]


@given(st.text(alphabet=st.one_of(unseen, st.sampled_from("abc é漢.\n"))))
def test_no_field_of_a_skill_and_no_prompt_holds_one(text: str) -> None:
    body = SkillBody(
        use_when=text,
        preferences=text,
        tool_sops=(Step(tool_name=f"t{text}", action=text),),
        pitfalls=(text,),
        trace=(text,),
        variables={text: text},
    )
    assert shown(body.model_dump_json())
    assert shown(Block(id="1", space_id="1", type="sop", title=text).title)
    old = body.model_copy(update={"use_when": text, "pitfalls": (text,)})
    skill = Skill(
        id="1", project_id="1", space_id="1", block_id="1", version=1, status="active", origin="rules", body=old
    )
    assert shown(render([skill], token_budget=10_000)[0])


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("plain text\twith a tab\nand a line", "plain text\twith a tab\nand a line"),
        ("caf\u00e9 \u6f22\u5b57 \U0001f600", "caf\u00e9 \u6f22\u5b57 \U0001f600"),
        ("10\u00a0kg", "10 kg"),
        ("a\r\nb\u2028c", "a\nb\nc"),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0645\u06cc \u062e\u0648\u0627\u0647\u0645"),
        ("I \u2764\ufe0f it", "I \u2764 it"),
    ],
)
def test_what_people_write_stays_readable(text: str, kept: str) -> None:
    assert visible(text) == kept
