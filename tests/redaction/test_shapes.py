"""Every shape of key is masked, wherever it stands; what only looks a little like one is not."""

from __future__ import annotations

import json

import pytest

from acontext_plugins.record.redaction import Redactor, placeholder
from acontext_store.types import Message, Part

from .corpus import CONTEXTS, INNOCENT, SECRETS


def said(text: str) -> Message:
    return Message(role="user", parts=(Part(type="text", text=text),))


def masked(text: str, *, pii: bool = False) -> str:
    return Redactor(pii=pii).redact_text("session", text)


@pytest.mark.parametrize(("name", "kind", "secret"), SECRETS, ids=[name for name, _, _ in SECRETS])
@pytest.mark.parametrize(
    "around",
    ["{}", "use {} for it.", "KEY={}\nX=1", '{{"value": "{}"}}', "('{}', 1)", "it is `{}`; keep it", "a\t{}\tb"],
)
def test_a_key_is_masked_by_its_shape(name: str, kind: str, secret: str, around: str) -> None:
    text = around.replace("{{", "{").replace("}}", "}").replace("{}", secret)
    clean = masked(text)
    assert secret not in clean
    assert placeholder(kind) in clean
    assert clean == text.replace(secret, placeholder(kind))


def test_there_are_more_than_fifty_shapes() -> None:
    assert len({name for name, _, _ in SECRETS}) >= 50


@pytest.mark.parametrize(("name", "text", "secret"), CONTEXTS, ids=[name for name, _, _ in CONTEXTS])
def test_a_secret_is_masked_where_the_words_around_it_announce_it(name: str, text: str, secret: str) -> None:
    clean = masked(text)
    assert secret not in clean
    assert "[redacted:" in clean


@pytest.mark.parametrize("text", INNOCENT, ids=[text[:40] for text in INNOCENT])
def test_what_is_no_secret_is_left_alone(text: str) -> None:
    assert masked(text) == text


def test_all_innocent_texts_together_change_nothing() -> None:
    messages = [said(text) for text in INNOCENT]
    given = Redactor().redact("session", messages)
    assert given.masked == 0
    assert all(new is old for new, old in zip(given.messages, messages, strict=True))


def test_personal_data_is_left_alone_unless_asked_for() -> None:
    text = "jane@example.com, +49 170 1234567, DE89 3704 0044 0532 0130 00, 078-05-1120"
    assert masked(text) == text
    clean = masked(text, pii=True)
    assert "jane" not in clean
    assert "1234567" not in clean
    assert "3704" not in clean
    assert "078-05" not in clean


def test_a_service_account_file_loses_its_private_key_and_stays_json() -> None:
    block = next(secret for name, _, secret in SECRETS if name == "PKCS8 private key")
    account = json.dumps({"type": "service_account", "project_id": "p", "private_key": block, "client_email": "a@b.c"})
    clean = json.loads(masked(account))
    assert clean == {
        "type": "service_account",
        "project_id": "p",
        "private_key": placeholder("private-key"),
        "client_email": "a@b.c",
    }


def test_a_private_key_without_its_end_is_masked_as_far_as_it_goes() -> None:
    block = next(secret for name, _, secret in SECRETS if name == "RSA private key")
    cut = block[: len(block) // 2]
    assert masked("here: " + cut) == "here: " + placeholder("private-key")
