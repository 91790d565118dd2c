"""The seed's Observe and Learn with a model: its own SDK, a server process, LiteLLM, a scripted model on loopback."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from acontext_plugins.testing.scripted_server import Asked, ScriptedServer

from ..models.school import experience, learned, read
from . import snippets
from .conftest import Served, free_port, running
from .test_seed import SDK, run

pytestmark = pytest.mark.skipif(
    SDK != (0, 0, 8) or find_spec("litellm") is None, reason="a model has its place beside the seed's SDK: sdk-0.0.8"
)
_DATA = re.compile(r"<data-(\w+)>\n(.*?)\n</data-\1>", re.DOTALL)

#: Goes on where the snippet ends: the work is done, the user is content, and another asks for what was learned.
LEARN = """
import json
import time

def said(text, **more):
    client.sessions.send_message(session_id=session.id, blob={"role": "assistant", "content": text, **more})

space = client.spaces.create()
session = client.sessions.create(space_id=space.id)
request = "Star the repo Acontext on github.com for me."
client.sessions.send_message(session_id=session.id, blob={"role": "user", "content": request})
def call(id, name, **arguments):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
for id, name, arguments, result in (
    ("c1", "goto", {"url": "github.com"}, "ok"),
    ("c2", "click", {"button": "star"}, "error: log in first"),
    ("c3", "click", {"button": "login"}, "ok"),
    ("c4", "click", {"button": "star"}, "starred"),
):
    said("", tool_calls=[call(id, name, **arguments)])
    client.sessions.send_message(session_id=session.id, blob={"role": "tool", "tool_call_id": id, "content": result})
said("Done, it is starred.")
wish = "Great, thanks! Remember: always use my outlook account to log in."
client.sessions.send_message(session_id=session.id, blob={"role": "user", "content": wish})
client.sessions.flush(session.id)
end = time.monotonic() + 30
while True:
    result = client.spaces.experience_search(space_id=space.id, query="star a repo on github.com", mode="fast")
    if result.cited_blocks or time.monotonic() > end:
        break
    time.sleep(0.1)
(block,) = result.cited_blocks
print(block.props["use_when"], "|", block.props["preferences"], "|", [s["tool_name"] for s in block.props["tool_sops"]])
"""


def model(asked: Asked) -> dict[str, Any]:
    """What a good model answers: by the prompt alone."""
    user = str(asked.messages[1]["content"])
    lines = [json.loads(line) for _, text in _DATA.findall(user) for line in text.splitlines() if line.startswith("{")]

    def saying(words: str) -> str:
        return next(str(line["id"]) for line in lines if words in json.dumps(line))

    if asked.answer_name == "taskanswer":
        return _landing_page(saying) if "iPhone" in user else _starring(lines, saying)
    shown = read(asked)
    remembers = next(id for id, text in shown.users if "Remember" in text)
    wish = {"text": "use the user's outlook account to log in", "message": remembers}
    return learned(
        experience(
            shown,
            use_when="star a repo on github.com",
            preferences=[wish | {"quote": "always use my outlook account to log in"}],
            place="github",
        )
    )


def _landing_page(saying: Any) -> dict[str, Any]:
    plan, wish, goes = saying("my plan is"), saying("sounds good"), saying("search_news")
    steps = ["Search for the latest news and report them", "Init a Next.js project", "Deploy the landing page"]
    return {
        "planning": [saying("I need to write"), plan],
        "insert": [
            {"task": f"n{n}", "after": f"n{n - 1}" if n > 1 else "start", "description": text, "cites": [plan]}
            for n, text in enumerate(steps, 1)
        ],
        "link": [{"task": "n1", "messages": [wish, goes]}],
        "progress": [{"task": "n1", "note": "I confirmed that I report before any coding.", "cites": [goes]}],
        "preferences": [
            {
                "task": "n1",
                "preference": "user expects a report before any landing page coding",
                "cites": [wish],
                "quote": "report to me before any landing page coding",
            }
        ],
    }


def _starring(lines: list[dict[str, Any]], saying: Any) -> dict[str, Any]:
    ids = [line["id"] for line in lines if "id" in line]
    return {
        "insert": [{"task": "n1", "description": "Star the repo on github", "cites": ids[:1]}],
        "link": [{"task": "n1", "messages": ids}],
        "update": [{"task": "n1", "status": "success", "cites": [saying("Great, thanks")], "quote": "Great, thanks!"}],
    }


@pytest.fixture(scope="module")
def endpoint() -> Iterator[ScriptedServer]:
    with ScriptedServer(model) as found:
        yield found


@pytest.fixture(scope="module")
def served(endpoint: ScriptedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    settings = {
        "ACONTEXT_LLM__MODEL": "openai/scripted",
        "ACONTEXT_LLM__BASE_URL": endpoint.url,
        "ACONTEXT_LLM__API_KEY": "any",
        "ACONTEXT_OBSERVE__MODEL_QUIET": "2",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    with running(tmp_path_factory.mktemp("served"), port=free_port(), **settings) as found:
        yield found


def test_observed_tasks_with_a_model(served: Served, endpoint: ScriptedServer, tmp_path: Path) -> None:
    before = len(endpoint.seen)
    said = run(served, tmp_path, snippets.OBSERVE)
    tasks = re.findall(r"^Task #(\d):\n  ID: \S+\n  Title: (.*)\n  Status: (\w+)$", said, re.MULTILINE)
    assert [(number, status) for number, _, status in tasks] == [("1", "running"), ("2", "pending"), ("3", "pending")]
    assert [re.search("news|Next.js|Deploy", title)[0] for _, title, _ in tasks] == ["news", "Next.js", "Deploy"]  # type: ignore[index]
    assert "I confirmed that I report before any coding." in said
    assert "report" in said.partition("User preferences")[2]
    assert len(endpoint.seen) == before + 1


def test_a_skill_is_learned_and_found_with_a_model(served: Served, endpoint: ScriptedServer, tmp_path: Path) -> None:
    before = len(endpoint.seen)
    said = run(served, tmp_path, snippets.CONNECT, LEARN)
    use_when, preferences, tools = said.strip().split(" | ")
    assert use_when == "star a repo on github.com"
    assert "outlook account" in preferences
    assert tools == "['goto', 'click', 'click']"
    assert len(endpoint.seen) == before + 2
