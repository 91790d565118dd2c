"""Who speaks, in which conversation, about which space: read from what the proxy's hooks are given."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from acontext_adapters.litellm.identity import caller_of


def key(token: str = "hash-of-a", **known: Any) -> Any:
    return SimpleNamespace(**{"token": token, "api_key": token, "end_user_id": None, "user_id": None, **known})


def with_headers(**headers: str) -> dict[str, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"proxy_server_request": {"headers": named}}


A = key()
SCOPE = caller_of({}, A, None).scope


@pytest.mark.parametrize(
    "data",
    [
        {"litellm_session_id": "talk-1"},
        {"metadata": {"session_id": "talk-1"}},
        {"litellm_metadata": {"session_id": "talk-1"}},
        {"litellm_metadata": {"requester_metadata": {"session_id": "talk-1"}}},
        {"metadata": {"user_id": "user_9f_account__session_talk-1-0"}},
        {"metadata": {"user_id": {"session_id": "talk-1-0"}}},
        with_headers(x_acontext_session_id="talk-1"),
        {**with_headers(**{"X-Acontext-Session-Id": "talk-1"}), "litellm_session_id": "other"},
    ],
)
def test_the_session_is_what_the_client_names(data: dict[str, Any]) -> None:
    session = caller_of(data, A, None).session
    assert session is not None
    assert session.removesuffix("-0") == f"{SCOPE}/talk-1"


def test_a_session_that_the_proxy_made_up_for_one_call_is_none() -> None:
    made_up = {"session_id": "random", "litellm_session_id_generated": True}
    assert caller_of({"litellm_session_id": "random", "metadata": made_up}, A, None).session is None
    assert caller_of({"litellm_trace_id": "random"}, A, None).session is None


def test_two_keys_share_no_session_and_no_user_whatever_their_clients_say() -> None:
    data = {"litellm_session_id": "1", "user": "1", "metadata": {"session_id": "1"}}
    one, other = caller_of(data, key("hash-of-a", end_user_id="1"), "s"), caller_of(data, key("hash-of-b"), "s")
    assert one.scope != other.scope
    assert one.session != other.session
    assert one.principal != other.principal


def test_no_name_says_anything_of_the_key() -> None:
    caller = caller_of({"litellm_session_id": "1", "user": "u"}, key("sk-secret-secret"), "s")
    assert "secret" not in repr(caller)


def test_two_keys_of_one_user_of_the_proxy_are_one_principal() -> None:
    one, other = (caller_of({}, key(token, user_id="ada"), None) for token in ("a", "b"))
    assert one.principal == other.principal == "user/ada"


def test_the_principal_is_the_end_user_else_the_keys_user_else_the_key() -> None:
    assert caller_of({}, key(end_user_id="eve", user_id="ada"), None).principal == f"{SCOPE}/eve"
    assert caller_of({"user": "eve"}, A, None).principal == f"{SCOPE}/eve"
    assert caller_of({}, key(end_user_id="user_9f_account__session_talk-1-0"), None).principal == (
        f"{SCOPE}/user_9f_account_"
    )
    assert caller_of({}, A, None).principal == SCOPE
    assert caller_of({}, SimpleNamespace(), None).principal == "no-key"


def test_the_space_of_a_key_cannot_be_changed_by_its_client() -> None:
    data = {**with_headers(x_acontext_space="theirs"), "metadata": {"acontext_space": "theirs"}}
    assert caller_of(data, key(metadata={"acontext_space": "ours"}), "default").space == "ours"
    assert caller_of(data, key(metadata={}, team_metadata={"acontext_space": "ours"}), "default").space == "ours"


@pytest.mark.parametrize(
    ("data", "space"),
    [
        (with_headers(x_acontext_space="billing"), "billing"),
        ({"metadata": {"acontext_space": "billing"}}, "billing"),
        ({"litellm_metadata": {"requester_metadata": {"acontext_space": "billing"}}}, "billing"),
        ({"metadata": {"acontext_space": 7}}, "default"),
        (with_headers(x_acontext_space=" "), "default"),
        ({}, "default"),
    ],
)
def test_a_client_names_a_space_where_its_key_has_none(data: dict[str, Any], space: str) -> None:
    assert caller_of(data, key(metadata={"team": "x"}), "default").space == space


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (with_headers(x_acontext_task_status="success"), "success"),
        (with_headers(x_acontext_task_status=" Failed "), "failed"),
        ({"metadata": {"tags": ["web", "acontext-task-status:failed"]}}, "failed"),
        ({"litellm_metadata": {"tags": ["acontext-task-status=success"]}}, "success"),
        (with_headers(x_acontext_task_status="maybe"), None),
        ({"metadata": {"tags": ["success", 7]}}, None),
        ({"metadata": {"tags": "success"}}, None),
        ({}, None),
    ],
)
def test_the_task_status_is_said_in_a_header_or_a_tag(data: dict[str, Any], status: str | None) -> None:
    assert caller_of(data, A, None).status == status


def test_a_reason_may_be_given_with_the_status() -> None:
    data = with_headers(x_acontext_task_status="failed", x_acontext_task_reason="wrong total")
    assert caller_of(data, A, None).reason == "wrong total"


def test_names_are_cut_where_they_are_no_names() -> None:
    data = {"litellm_session_id": "s" * 5000, "user": "u" * 5000, **with_headers(x_acontext_space="p" * 5000)}
    caller = caller_of(data, A, None)
    assert all(len(name or "") < 300 for name in (caller.session, caller.space, caller.principal))


@pytest.mark.parametrize("odd", [None, 7, "text", [], {"headers": 7}])
def test_odd_requests_say_nothing(odd: Any) -> None:
    data = {"proxy_server_request": odd, "metadata": odd, "litellm_metadata": odd, "user": odd}
    caller = caller_of(data, key(metadata=odd, team_metadata=odd), None)
    assert (caller.session, caller.space, caller.status) == (None, None, None)
