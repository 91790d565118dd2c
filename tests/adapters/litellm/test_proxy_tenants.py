"""Many keys on one proxy: nobody shares a conversation or a user by accident, and no secret is kept."""

from __future__ import annotations

from pathlib import Path

from .memory import all_in, having, once, when
from .proxy import KEY, Proxy
from .talk import Json, chat, post, requests, turn, user
from .upstream import Broken, Call, Refused, Upstream


def test_two_keys_that_name_the_same_session_and_user_share_neither(proxy: Proxy, upstream: Upstream) -> None:
    body = chat(user("one of two"), user="1", metadata={"conversation_id": "1"})
    for name in ("a", "b"):
        upstream.say(f"for {name}")
        post(proxy, "/v1/chat/completions", body, "the-same", key=f"sk-tenant-{name}")
    once(lambda: [len(kept.outcomes) for kept in having(proxy.database, "one of two")] == [1, 1], "two conversations")
    one, other = having(proxy.database, "one of two")
    assert [kept.lines for kept in (one, other)] == [["user: one of two", f"assistant: for {name}"] for name in "ab"]
    assert one.session.key != other.session.key
    assert one.session.principal != other.session.principal


def test_two_keys_that_send_the_same_history_without_a_name_share_nothing(proxy: Proxy, upstream: Upstream) -> None:
    history: list[Json] = []
    upstream.say([Call("weather", "same-call")], "21C")
    turn(proxy, history, "nobody's", lambda call: "21C", "", headers={"Authorization": "Bearer sk-tenant-a"})
    history.append(user("stolen?"))
    for names in ({"conversation_id": "2"}, {}):
        post(proxy, "/v1/chat/completions", chat(*history, metadata=names), key="sk-tenant-b")
    once(lambda: sum(len(kept.outcomes) for kept in having(proxy.database, "stolen?")) == 2, "the second key's")
    for kept in having(proxy.database, "stolen?"):
        assert "user: nobody's" not in kept.lines


def test_two_calls_of_one_id_do_not_end_each_other(proxy: Proxy, upstream: Upstream) -> None:
    upstream.say("first", Refused(500))
    for name in ("a", "b"):
        session = {"x_litellm_call_id": "chosen"}
        post(proxy, "/v1/chat/completions", chat(user(f"by {name}")), key=f"sk-tenant-{name}", **session)
    for name, status in (("a", "success"), ("b", "failed")):
        once(lambda name=name: [kept.ends for kept in having(proxy.database, f"by {name}")] != [[]], "an outcome")
        assert [kept.ends[0][0] for kept in having(proxy.database, f"by {name}")] == [status]


def test_a_keys_space_is_its_own_and_a_request_may_name_one_where_the_key_has_none(
    proxy: Proxy, upstream: Upstream
) -> None:
    post(proxy, "/v1/chat/completions", chat(user("spaced 1")), key="sk-spaced-billing", x_acontext_space="other")
    post(proxy, "/v1/chat/completions", chat(user("spaced 2")), x_acontext_space="other")
    metadata = {"acontext_space": "third"}
    post(proxy, "/v1/chat/completions", chat(user("spaced 3"), metadata=metadata))
    post(proxy, "/v1/chat/completions", chat(user("spaced 4")))
    once(lambda: all(having(proxy.database, f"spaced {number}") for number in range(1, 5)), "four conversations")
    ids = [having(proxy.database, f"spaced {number}")[0].session.space_id for number in range(1, 5)]
    assert len(set(ids)) == 4
    assert None not in ids


def test_the_keys_own_user_is_the_principal(proxy: Proxy, upstream: Upstream) -> None:
    post(proxy, "/v1/chat/completions", chat(user("owned")), key="sk-owned-ada")
    once(lambda: having(proxy.database, "owned"), "a conversation")
    assert having(proxy.database, "owned")[0].session.principal == "user/ada"


def test_a_key_that_is_refused_leaves_nothing(proxy: Proxy, upstream: Upstream) -> None:
    assert post(proxy, "/v1/chat/completions", chat(user("let me in")), key="sk-bad-1").status_code >= 400
    post(proxy, "/v1/chat/completions", chat(user("after the refused one")))
    once(lambda: having(proxy.database, "after the refused one"), "a conversation")
    assert having(proxy.database, "let me in") == []


def test_headers_and_keys_are_nowhere_on_the_disk(proxy: Proxy, upstream: Upstream) -> None:
    canaries = {
        "Authorization": "Bearer sk-canary-authorization-5f1d",
        "x-canary": "canary-header-77aa",
        "x-api-key": "canary-provider-key-31b0",
        "Cookie": "session=canary-cookie-90ce",
        "x-litellm-spend-logs-metadata": '{"note": "canary-spend-4410"}',
    }
    metadata = {"secret": "canary-metadata-62df"}
    for streamed in (False, True):
        for path, body in requests("who sees my headers?", stream=streamed, metadata=metadata).items():
            for step in ("seen", Refused(500), Broken("a b"), [Call("weather", "c1")]):
                upstream.say(step)
                with proxy.client(KEY, **canaries) as client:
                    try:
                        client.post(path.split(" ")[0], json={**body, "api_key": "canary-body-key-88aa"})
                    except Exception:
                        assert isinstance(step, Broken)
    upstream.say("the last one")
    post(proxy, "/v1/chat/completions", chat(user("the last one?")), "canaries")
    when(proxy.database, "canaries", lambda kept: bool(kept.outcomes))
    written = b"".join(path.read_bytes() for path in files(proxy))
    assert b"who sees my headers?" in written
    kinds = ("header", "provider", "cookie", "spend", "metadata", "body")
    ours = ("sk-canary", "sk-tenant", "sk-loopback", "sk-up", "user_api_key", "secret_fields")
    found = [one for one in (*ours, *(f"canary-{kind}" for kind in kinds)) if one.encode() in written]
    assert found == []


def files(proxy: Proxy) -> list[Path]:
    """The database, its log, and what stands beside it."""
    assert all_in(proxy.database)
    return [path for path in proxy.folder.rglob("memory.db*") if path.is_file()]
