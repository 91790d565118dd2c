"""The texts that frameworks write as results of calls that did not run."""

from __future__ import annotations

import pytest

from acontext_plugins.transcript.result_texts import TEXTS, known_text

_SAYS = [
    ("Tool execution was not approved.", "refused", "person"),
    ("An error occurred while running the tool. Please try again. Error: no route", "failed", ""),
    ("Tool 'fetch' timed out after 0.5 seconds.", "failed", ""),
    ("Tool 'fetch' timed out after 500ms.", "failed", ""),
    ("Tool 'fetsh' not found.", "answered", "framework"),
    ("Multiple handoffs detected, ignoring this one.", "answered", "framework"),
    ("Tool fetsh not found in agent Clerk.", "answered", "framework"),
    ("User rejected the tool call for `pay` with id call_1. The tool was not executed.", "refused", "person"),
    ("Tool call limit exceeded. Do not call 'search' again.", "answered", "limit"),
    (
        "Execution stopped before this tool call could run because another tool call in the same batch",
        "answered",
        "limit",
    ),
    ("The tool call `rm` was blocked because it was classified as risky (probability: 0.93).", "refused", "guardrail"),
    ("Tool 'fetch' failed after 3 attempts with TimeoutError: slow. Please try again.", "failed", ""),
    (
        "Tool call pay with id call_9 could not be executed - arguments were malformed or truncated.",
        "answered",
        "framework",
    ),
    ("Error: fetsh is not a valid tool, try one of [fetch, pay].", "answered", "framework"),
    (
        "Error invoking tool 'pay' with kwargs {'amount': 'x'} with error:\n amount: not a number",
        "answered",
        "framework",
    ),
    ("Error executing tool 'pay' with kwargs {'amount': 3} with error:\n no route", "failed", ""),
    ("Error: ValueError('no route')\n Please fix your mistakes.", "failed", ""),
    ("Function call was rejected by the user", "refused", "person"),
    ("Tool call limit reached. Tool call pay not executed. Don't try to execute it again.", "answered", "limit"),
    ("Error: The requested tool does not exist or is not available.", "answered", "framework"),
    ("Error while decoding function arguments: Expecting value", "answered", "framework"),
    ("Error from MCP tool 'pay': no money", "failed", ""),
    ("Tool call failed: server is gone", "failed", ""),
    ("[System: Tool execution skipped/interrupted by user. No result provided for tool 'pay'.]", "unfinished", ""),
    ("Unknown tool: fetsh", "answered", "framework"),
    ("Error executing tool pay: no route", "failed", ""),
    ("Error executing tool pay", "failed", ""),
    ("The user doesn't want to take this action right now. STOP what you are doing", "refused", "person"),
    ("Permission to use Bash with command rm -r x has been denied.", "refused", "guardrail"),
    ("Claude requested permissions to write to /x, but you haven't granted it yet.", "refused", "guardrail"),
    ("<tool_use_error>InputValidationError: Edit failed</tool_use_error>", "answered", "framework"),
    ("<tool_use_error>String to replace not found in file.</tool_use_error>", "failed", ""),
    ("[Request interrupted by user for tool use]", "unfinished", ""),
    ("\nError executing tool. coworker mentioned not found, it must be one of", "answered", "framework"),
    ("Tool 'pay' has reached its usage limit of 2 times and cannot be used anymore.", "answered", "limit"),
    ("Tool execution blocked by hook. Tool: pay", "refused", "guardrail"),
    ("Call id: 7\nError:\nUnknown tool fetsh, should be one of: fetch.\nNow let's retry: ", "answered", "framework"),
    ("The tool call was denied.", "refused", "person"),
]


@pytest.mark.parametrize(("text", "status", "by"), _SAYS, ids=[text[:40] for text, _, _ in _SAYS])
def test_a_text_of_a_framework_says_what_became_of_its_call(text: str, status: str, by: str) -> None:
    known = known_text(text)
    assert known is not None
    assert (known.status, known.by) == (status, by)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("User rejected the tool call for `pay` with reason: never more than 50", "never more than 50"),
        (
            "The user doesn't want to proceed with this tool use. The tool use was rejected (eg. if it was a file "
            "edit, the new_string was NOT written to the file). To tell you how to proceed, the user said:\n"
            "use the test key",
            "use the test key",
        ),
        ("Tool call blocked: Guardrail 'limits' violation. over the limit", "over the limit"),
    ],
)
def test_the_words_of_whoever_refused_are_known(text: str, words: str) -> None:
    known = known_text(text)
    assert known is not None
    assert (known.status, known.reason) == ("refused", words)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "42",
        '{"status": "denied"}',
        "Sent. Tool execution was not approved. is what the log says",
        "Tool 'hammer' not found. Did you look in the shed?",
        "Unknown tool: please name one of ours",
        "Permission to use the car park is given",
        "The user doesn't want to be called",
        "Error: no such order",
    ],
)
def test_what_a_tool_says_itself_is_no_known_text(text: str) -> None:
    assert known_text(text) is None


def test_each_text_names_the_versions_that_it_was_read_in() -> None:
    assert all(text.framework and text.versions for text in TEXTS)
    assert all((text.by == "") == (text.status in ("failed", "unfinished")) for text in TEXTS)


def test_a_long_result_is_looked_at_only_where_it_begins() -> None:
    assert known_text("Error: " + "x" * 1_000_000 + "\n Please fix your mistakes.") is None
