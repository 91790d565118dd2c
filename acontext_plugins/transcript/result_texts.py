"""What frameworks write as the result of a call that did not run, or did not come to a good end.

A recorded conversation holds these texts where nobody tells the fates of its calls: imports, plain clients, histories
that a host brings along. Each entry was read in the sources of the versions that it names, the lowest and the newest
that were looked at; a text that a framework lets its users choose has no entry. Nothing here is needed where a
framework tells fates itself: its word wins.

A text is matched from its beginning, and as far as no tool would say the same of itself. To add one, add a row of
`TEXTS`; its status has the meaning that it has in `CallFate`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

#: How much of a result is looked at, in characters; what stands further behind is not how it begins.
_HEAD = 4_000


class KnownText(NamedTuple):
    """What a known text says of its call."""

    status: Literal["refused", "answered", "failed", "unfinished"]
    #: Who refused it, or answered in the tool's place: "person", "guardrail", "limit", "framework"; "" where it failed.
    by: str
    framework: str = ""
    #: The words of whoever refused it, where the text quotes them.
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ResultText:
    """One text of one framework: an expression for its beginning, with a group `reason` where it quotes somebody."""

    framework: str
    #: The versions in whose sources it was read.
    versions: tuple[str, ...]
    status: Literal["refused", "answered", "failed", "unfinished"]
    by: str
    pattern: str


def _of(framework: str, *versions: str) -> _Rows:
    return _Rows(framework, versions)


@dataclass(frozen=True, slots=True)
class _Rows:
    framework: str
    versions: tuple[str, ...]

    def refused(self, by: str, *patterns: str) -> list[ResultText]:
        return [ResultText(self.framework, self.versions, "refused", by, pattern) for pattern in patterns]

    def answered(self, by: str, *patterns: str) -> list[ResultText]:
        return [ResultText(self.framework, self.versions, "answered", by, pattern) for pattern in patterns]

    def failed(self, *patterns: str) -> list[ResultText]:
        return [ResultText(self.framework, self.versions, "failed", "", pattern) for pattern in patterns]

    def unfinished(self, *patterns: str) -> list[ResultText]:
        return [ResultText(self.framework, self.versions, "unfinished", "", pattern) for pattern in patterns]


_AGENTS = _of("openai-agents", "0.20.0", "0.24.0")
_AGENTS_JS = _of("@openai/agents-core", "0.1.0", "0.20.0")
_AGENTS_JS_NEW = _of("@openai/agents-core", "0.20.0")
_LANGCHAIN = _of("langchain", "1.2.13", "1.5.2")
_LANGCHAIN_NEW = _of("langchain", "1.5.2")
_LANGCHAIN_CORE = _of("langchain-core", "1.4.0", "1.8.4")
_TOOL_NODE = _of("langgraph-prebuilt", "1.0.13", "1.1.3")
_DEEPAGENTS = _of("deepagents", "0.7.32")
_AGNO = _of("agno", "2.4.0", "3.1.10")
_LITELLM = _of("litellm", "1.83.0", "1.110.2")
_LITELLM_NEW = _of("litellm", "1.110.2")
_MCP = _of("mcp", "1.23.3", "2.3.0")
_MCP_1 = _of("mcp", "1.23.3")
_CLAUDE_CODE = _of("@anthropic-ai/claude-code", "1.0.100", "2.1.332")
_CLAUDE_CODE_NEW = _of("@anthropic-ai/claude-code", "2.1.332")
_CREWAI = _of("crewai", "1.0.0", "1.15.30")
_CREWAI_NEW = _of("crewai", "1.15.30")
_SMOLAGENTS = _of("smolagents", "1.13.0", "1.26.0")
_AUTOGEN = _of("autogen", "0.7.5")
_PYDANTIC_AI = _of("pydantic-ai", "1.0.0", "2.68.0")

#: A name between quotes of any kind. Where a framework writes none, a name is a word.
_QUOTED = r"['\"`][^'\"`\n]{1,120}['\"`]"
_WORD = r"[\w.:/-]{1,120}"

#: Where two entries fit, the first one decides.
TEXTS: tuple[ResultText, ...] = (
    # openai-agents: agents/tool.py, run_internal/turn_resolution.py (tool_not_found), run_internal/tool_execution.py
    *_AGENTS.refused("person", r"Tool execution was not approved\."),
    *_AGENTS.answered(
        "framework",
        r"An error occurred while parsing tool arguments\. Please try again with valid JSON\.",  # not in 0.24.0
        rf"Tool {_QUOTED} not found\.\s*\Z",
        r"Multiple handoffs detected, ignoring this one\.",
    ),
    *_AGENTS.failed(
        r"An error occurred while running the tool\. Please try again\.",
        rf"Tool {_QUOTED} timed out after [\d.e+-]+ ?(?:seconds|ms)\.",
    ),
    # sandbox/capabilities/tools/shell_tool.py, and langchain's ShellToolMiddleware
    *_AGENTS.failed(r"Command timed out after [\d.]+ seconds\."),
    # OpenAI Agents for JavaScript: the same texts, and dist/runner/modelOutputs.js
    *_AGENTS_JS.refused("person", r"Tool execution was not approved\."),
    *_AGENTS_JS_NEW.answered("framework", rf"Tool {_WORD} not found in agent [^\n]{{1,120}}\.\s*\Z"),
    # langchain: agents/middleware/human_in_the_loop.py; the reviewer's own words stand alone in 1.2.13
    *_LANGCHAIN.refused(
        "person",
        rf"User rejected the tool call for {_QUOTED} with reason: (?P<reason>[\s\S]+)",
        rf"User rejected the tool call for {_QUOTED} with id ",
    ),
    # tool_call_limit.py (the second in 1.5.2 alone)
    *_LANGCHAIN.answered("limit", r"Tool call limit exceeded\. Do not (?:call|make) "),
    *_LANGCHAIN_NEW.answered(
        "limit",
        r"Execution stopped before this tool call could run because another tool call in the same batch",
    ),
    *_LANGCHAIN_NEW.refused("guardrail", rf"The tool call {_QUOTED} was blocked because it was classified as risky"),
    *_LANGCHAIN.failed(
        rf"Tool {_QUOTED} failed after \d+ attempts? with ",  # tool_retry.py
        r"Error: Command timed out after [\d.]+ seconds\.",  # shell_tool.py
    ),
    *_LANGCHAIN.answered("framework", r"Error: The `write_todos` tool should never be called multiple times "),
    # factory.py: broken JSON
    *_LANGCHAIN_NEW.answered("framework", rf"Tool call {_WORD} with id \S+ could not be executed - arguments were "),
    *_DEEPAGENTS.unfinished(rf"Tool call {_WORD} with id \S+ did not complete - no result was recorded\."),
    # langchain-core: tools/base.py, with handle_validation_error and handle_tool_error
    *_LANGCHAIN_CORE.answered("framework", r"Tool input validation error\s*\Z"),
    *_LANGCHAIN_CORE.failed(r"Tool execution error\s*\Z"),
    # the tool node of langgraph-prebuilt
    *_TOOL_NODE.answered(
        "framework",
        rf"Error: {_WORD} is not a valid tool, try one of \[",
        rf"Error invoking tool {_QUOTED} with kwargs ",
        r"Error: ToolInvocationError\(",
    ),
    *_TOOL_NODE.failed(
        rf"Error executing tool {_QUOTED} with kwargs ",
        r"Error: [\s\S]+\n Please fix your mistakes\.\s*\Z",
    ),
    # agno: models/base.py, agent/_tools.py (2.4.0: agent/agent.py), utils/functions.py, team/_default_tools.py
    *_AGNO.refused("person", r"(?:Function call was rejected by the user|Tool call was rejected)\s*\Z"),
    *_AGNO.answered("limit", rf"Tool call limit reached\. Tool call {_WORD} not executed\."),
    *_AGNO.answered(
        "framework",
        r"Error: The requested tool does not exist or is not available\.",
        r"Error while (?:decoding|parsing) function arguments: ",
        r"Function arguments are not a valid JSON object\.",
        r"Member with ID \S+ not found in the team",
    ),
    *_AGNO.failed(rf"Error from MCP tool {_QUOTED}: "),
    # litellm: responses/mcp/litellm_proxy_mcp_handler.py (the proxy runs MCP tools itself)
    *_LITELLM.refused(
        "guardrail",
        rf"Tool call blocked: PII entity {_QUOTED} detected by guardrail",
        rf"Tool call blocked: Guardrail {_QUOTED} violation\. (?P<reason>[\s\S]+)",
    ),
    *_LITELLM.failed(r"Tool call failed: ", r"Error executing tool: "),
    # litellm_core_utils/prompt_templates/factory.py, with modify_params: the host had sent no result
    *_LITELLM.unfinished(r"\[System: Tool execution skipped/interrupted by user\. No result provided for tool "),
    # harness/handlers/tool_loop_handler.py
    *_LITELLM_NEW.answered(
        "framework",
        rf"ValueError: unknown tool {_QUOTED}\s*\Z",
        r"ValueError: tool arguments must be a JSON object\s*\Z",
        r"JSONDecodeError: Extra data after tool arguments\s*\Z",
    ),
    # mcp: server/fastmcp/tools (2.x: server/mcpserver/tools), server/lowlevel/server.py
    *_MCP.answered("framework", rf"Unknown tool: {_WORD}\s*\Z"),
    *_MCP_1.answered("framework", r"Input validation error: "),
    *_MCP_1.failed(r"Output validation error: "),
    *_MCP.failed(rf"Error executing tool {_WORD}(?::|\s*\Z)"),
    # Claude Code: its bundle
    *_CLAUDE_CODE_NEW.refused(
        "person",
        r"The user doesn't want to proceed with this tool use\.[\s\S]{0,200}?the user said:\n(?P<reason>[\s\S]+)",
        r"Permission for this tool use was denied\.[\s\S]{0,200}?The user said:\n(?P<reason>[\s\S]+)",
    ),
    *_CLAUDE_CODE.refused(
        "person",
        r"The user doesn't want to (?:proceed with this tool use|take this action right now)\.",
        r"The agent proposed a plan that was rejected by the user\.",
    ),
    *_CLAUDE_CODE.refused(
        "guardrail",
        r"Permission to (?:use|read|edit|write) [^\n]{1,400}? (?:has been denied|denied by plugin)",
        r"Claude requested permissions? to [^\n]{1,400}?"
        r"(?:, but you haven't granted it yet|, which (?:appears to be|is under|contains) | which is a sensitive file)",
    ),
    *_CLAUDE_CODE_NEW.refused(
        "guardrail",
        r"Permission for this action (?:has been denied|was denied by [^\n.]{1,80})\. Reason: (?P<reason>[\s\S]+)",
        r"Permission for this (?:tool use|command) was denied",
        r"This call was denied and did not run\.",
        r"PreToolUse:\S+ hook error: (?P<reason>[\s\S]+)",
    ),
    *_CLAUDE_CODE.answered(
        "framework",
        r"<tool_use_error>(?:Error: No such tool available: |InputValidationError: )",
    ),
    *_CLAUDE_CODE_NEW.unfinished(
        r"<tool_use_error>(?:Cancelled: |Error: Streaming fallback - tool execution discarded)"
    ),
    *_CLAUDE_CODE.failed(r"<tool_use_error>", r"Command timed out after \d+(?:\.\d+)?(?:ms|s|m|h)"),
    *_CLAUDE_CODE.unfinished(r"\[Request interrupted by user(?: for tool use)?\]\s*\Z"),
    # crewai: translations/en.json, tools/tool_usage.py, utilities/agent_utils.py
    *_CREWAI.answered(
        "framework",
        rf"You tried to use the tool {_WORD}, but it doesn't exist\. You must use one of the following tools",
        r"Error: the Action Input is not a valid key, value dictionary\.",
        r"I tried reusing the same input, I must stop using this action input\.",
        r"Error executing tool\. coworker mentioned not found",
    ),
    *_CREWAI.answered("limit", rf"Tool {_QUOTED} has reached its (?:maximum )?usage limit of \d+"),
    *_CREWAI.failed(r"I encountered an error while trying to use the tool\. This was the error: "),
    *_CREWAI_NEW.refused("guardrail", r"Tool execution blocked by hook\. Tool: "),
    # smolagents: agents.py, memory.py
    *_SMOLAGENTS.answered("framework", rf"(?:Call id: \S+\n)?Error:\nUnknown tool {_WORD}, should be one of: "),
    *_SMOLAGENTS.failed(
        r"(?:Call id: \S+\n)?Error:\n[\s\S]+\nNow let's retry: take care not to repeat previous errors!"
    ),
    # autogen: autogen_agentchat/agents/_assistant_agent.py, autogen_core/tools/_static_workbench.py
    *_AUTOGEN.answered(
        "framework", rf"Error: tool {_QUOTED} not found in any workbench", rf"Tool {_WORD} not found\.\s*\Z"
    ),
    # pydantic-ai: tools.py (2.x: _deferred.py), _agent_graph.py (2.x: _tool_execution.py), _tool_manager.py
    *_PYDANTIC_AI.refused("person", r"The tool call was denied\.\s*\Z"),
    *_PYDANTIC_AI.answered(
        "framework",
        r"Tool not executed - a final result was already processed\.",
        rf"Unknown tool name: {_QUOTED}\. ",
    ),
)

_PATTERNS = tuple(re.compile(text.pattern) for text in TEXTS)
#: All of them at once, since most results are the tool's own: the group that matched counts from 1.
_ANY = re.compile("|".join("(" + text.pattern.replace("(?P<reason>", "(?:") + ")" for text in TEXTS))


def known_text(text: str) -> KnownText | None:
    """What a result says where a framework wrote it; None where it is the tool's own."""
    head = text[:_HEAD].strip()
    found = _ANY.match(head)
    if found is None or found.lastindex is None:
        return None
    at = found.lastindex - 1
    entry = TEXTS[at]
    named = _PATTERNS[at].match(head)
    reason = named.groupdict().get("reason", "") if named is not None else ""
    return KnownText(entry.status, entry.by, entry.framework, (reason or "").strip())
