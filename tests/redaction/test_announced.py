"""A secret is masked where its command, its neighbour, its sentence or another language's word announces it."""

from __future__ import annotations

import json

import pytest

from acontext_plugins.record.redaction import Redactor
from acontext_store.types import Message, Part

from .announced import ABROAD, CODES, COMMANDS, HASHES, INNOCENT, NEIGHBOURS, SECRET, SENTENCES


def masked(text: str) -> str:
    return Redactor().redact_text("session", text)


def _named(texts: list[str]) -> list[str]:
    return [ascii(text)[1:45] for text in texts]


@pytest.mark.parametrize("text", COMMANDS, ids=_named(COMMANDS))
def test_a_command_announces_its_secret(text: str) -> None:
    clean = masked(text.format(s=SECRET))
    assert SECRET not in clean
    assert clean.count("[redacted:") == 1


@pytest.mark.parametrize("text", NEIGHBOURS, ids=_named(NEIGHBOURS))
def test_a_name_announces_the_value_beside_it(text: str) -> None:
    assert SECRET not in masked(text.format(s=SECRET))


@pytest.mark.parametrize("text", CODES, ids=_named(CODES))
def test_a_code_that_was_sent_is_masked(text: str) -> None:
    assert "58214" not in masked(text.format(c="582143"))


@pytest.mark.parametrize("text", SENTENCES, ids=_named(SENTENCES))
def test_a_password_beside_its_user_is_masked(text: str) -> None:
    clean = masked(text.format(s=SECRET))
    assert SECRET not in clean
    assert "[redacted:" in clean


@pytest.mark.parametrize("text", ABROAD, ids=_named(ABROAD))
def test_the_word_for_password_is_known_in_other_languages(text: str) -> None:
    clean = masked(text.format(s=SECRET))
    assert clean == text.format(s="[redacted:password]")


@pytest.mark.parametrize("secret", HASHES, ids=_named(HASHES))
def test_a_hash_of_a_password_is_masked(secret: str) -> None:
    assert (
        masked(f"bob:{secret}:19000:0")
        in (
            "bob:[redacted:password-hash]:19000:0",
            "bob:[redacted:password-hash]",
        )
        or masked(f"bob {secret} x") == "bob [redacted:password-hash] x"
    )


@pytest.mark.parametrize("text", INNOCENT, ids=_named(INNOCENT))
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert masked(text) == text


def test_the_arguments_of_a_program_are_read_as_its_command_line() -> None:
    arguments = {
        "argv": ["sshpass", "-p", SECRET, "ssh", "host"],
        "more": ["/usr/bin/mysql", f"-p{SECRET}", "-P", "3306"],
    }
    call = Message(
        role="assistant",
        parts=(Part(type="tool-call", meta={"id": "1", "name": "run", "arguments": json.dumps(arguments)}),),
    )
    (clean,) = Redactor().redact("session", [call]).messages
    assert clean.parts[0].meta is not None
    assert json.loads(clean.parts[0].meta["arguments"]) == {
        "argv": ["sshpass", "-p", "[redacted:password]", "ssh", "host"],
        "more": ["/usr/bin/mysql", "-p[redacted:password]", "-P", "3306"],
    }


def test_what_a_command_announced_is_masked_where_it_stands_alone_later() -> None:
    redactor = Redactor()
    redactor.redact_text("session", f"sshpass -p {SECRET} ssh host")
    assert redactor.redact_text("session", f"use {SECRET} again") == "use [redacted:password] again"


def test_a_list_of_recovery_codes_is_masked_to_its_end() -> None:
    codes = [f"{n}k2j-{n}9fa" for n in range(1, 10)]
    clean = masked("Here are your backup codes:\n\n" + "\n".join(f"- {code}" for code in codes) + "\nKeep them safe.")
    assert not any(code in clean for code in codes)
    assert clean.endswith("\nKeep them safe.")
