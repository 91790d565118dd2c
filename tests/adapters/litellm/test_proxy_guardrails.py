"""The proxy's own guardrails come before us: what they mask is kept masked, of what they block nothing is kept."""

from __future__ import annotations

import pytest

from .memory import all_in, once, when
from .proxy import Proxy
from .talk import PATHS, post, requests
from .upstream import Upstream

SAID = "It is noted."
both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
every_format = pytest.mark.parametrize("path", PATHS)


@both_ways
@every_format
def test_what_a_guardrail_masks_is_kept_masked(path: str, streamed: bool, proxy: Proxy, upstream: Upstream) -> None:
    session = f"masked-{PATHS.index(path)}-{streamed}"
    upstream.say(SAID)
    body = {**requests("call 555-0100")[path], "stream": streamed, "guardrails": ["mask"]}
    assert post(proxy, path, body, session).status_code == 200
    kept = when(proxy.database, session, lambda kept: bool(kept.outcomes))
    assert kept.lines == ["user: call [PHONE]", f"assistant: {SAID}"]
    assert "555-0100" not in repr(kept.messages)


@pytest.mark.parametrize("guardrail", ["block", "watch", "judge"])
@every_format
def test_of_a_blocked_request_nothing_is_kept_and_the_conversation_goes_on(
    path: str, guardrail: str, proxy: Proxy, upstream: Upstream
) -> None:
    session = f"{guardrail}-{PATHS.index(path)}"
    upstream.say("never", SAID) if guardrail != "block" else upstream.say(SAID)
    body = {**requests("my secret wish")[path], "guardrails": [guardrail]}
    assert post(proxy, path, body, session).status_code == 400
    if guardrail == "watch":
        upstream.say(SAID, SAID)  # it may have been asked already, or not
    assert post(proxy, path, requests("hi")[path], session).status_code == 200
    kept = when(proxy.database, session, lambda kept: bool(kept.outcomes))
    assert (kept.lines, kept.ends) == (["user: hi", f"assistant: {SAID}"], [("success", "")])
    assert not any("my secret wish" in repr(one.messages) for one in all_in(proxy.database))


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_users_of_one_session_are_told_apart(streamed: bool, proxy: Proxy, upstream: Upstream) -> None:
    session = f"shared-{streamed}"
    for user in ("alice", "bob"):
        upstream.say(f"hi {user}")
        body = {**requests(f"I am {user}")["/v1/chat/completions"], "user": user, "stream": streamed}
        assert post(proxy, "/v1/chat/completions", body, session).status_code == 200

    def found() -> dict[str, list[str]]:
        mine = [kept for kept in all_in(proxy.database) if (kept.session.key or "").endswith(f"/{session}")]
        return {str(kept.session.principal).rpartition("/")[2]: kept.lines for kept in mine}

    once(lambda: sum(map(len, found().values())) == 4, "two sessions of two messages")
    assert found() == {user: [f"user: I am {user}", f"assistant: hi {user}"] for user in ("alice", "bob")}
