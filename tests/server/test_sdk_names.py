"""What the published SDKs say, this server knows: another name would be ignored, and nobody would be told.

Versions 0.0.6 to 0.1.22 on PyPI, 0.0.16 on npm. Their routes that are not here are answered with 404.
"""

from __future__ import annotations

from typing import Any

from acontext_plugins.server.middleware import API

from .conftest import Server

_PAGE = "limit cursor time_desc"
_ARTIFACT = "/disk/{disk_id}/artifact"
_SESSION = "/session/{session_id}"
_SPACE = "/space/{space_id}"
_BLOCK = _SPACE + "/block/{block_id}"
#: By method and path: the names in the query or the body, of all versions.
SAID = {
    ("get", "/session"): f"{_PAGE} space_id not_connected user filter_by_configs",
    ("post", "/session"): "space_id disable_task_tracking configs user use_uuid",
    ("put", _SESSION + "/configs"): "configs",
    ("patch", _SESSION + "/configs"): "configs",
    ("post", _SESSION + "/connect_to_space"): "space_id",
    ("get", _SESSION + "/task"): _PAGE,
    ("post", _SESSION + "/messages"): "format blob meta payload",
    ("get", _SESSION + "/messages"): (
        f"{_PAGE} format with_asset_public_url edit_strategies pin_editing_strategies_at_message with_events"
    ),
    ("patch", _SESSION + "/messages/{message_id}/meta"): "meta",
    ("get", "/space"): f"{_PAGE} user",
    ("post", "/space"): "configs user",
    ("put", _SPACE + "/configs"): "configs",
    ("get", _SPACE + "/experience_search"): "query limit mode semantic_threshold max_iterations",
    ("get", _SPACE + "/semantic_glob"): "query limit threshold",
    ("get", _SPACE + "/semantic_grep"): "query limit threshold",
    ("get", _SPACE + "/experience_confirmations"): _PAGE,
    ("put", _SPACE + "/experience_confirmations/{experience_id}"): "save",
    ("patch", _SPACE + "/experience_confirmations/{experience_id}"): "save",
    ("get", _SPACE + "/block"): "parent_id type",
    ("post", _SPACE + "/block"): "parent_id type title props",
    ("put", _BLOCK + "/properties"): "title props",
    ("put", _BLOCK + "/move"): "parent_id sort",
    ("put", _BLOCK + "/sort"): "sort",
    ("get", "/disk"): f"{_PAGE} user",
    ("post", "/disk"): "user",
    ("post", _ARTIFACT): "file file_path meta",
    ("get", _ARTIFACT): "file_path with_public_url with_content expire",
    ("put", _ARTIFACT): "file_path meta",
    ("delete", _ARTIFACT): "file_path",
    ("get", _ARTIFACT + "/ls"): "path",
    ("get", _ARTIFACT + "/grep"): "query limit",
    ("get", _ARTIFACT + "/glob"): "query limit",
    ("get", "/user/ls"): _PAGE,
    ("put", "/tool/name"): "rename",
}
#: No event can be added here, so there are none to be left out.
_EMPTY = {("get", _SESSION + "/messages"): {"with_events"}}


def test_every_name_that_an_sdk_says_is_known(server: Server) -> None:
    schema = server.app.openapi()
    for (method, path), names in SAID.items():
        unknown = set(names.split()) - _known(schema, schema["paths"][API + path][method])
        assert unknown == _EMPTY.get((method, path), set()), (method, path)


def _known(schema: dict[str, Any], operation: dict[str, Any]) -> set[str]:
    """The names that an operation takes in its query and in its bodies."""
    known = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"}
    for content in operation.get("requestBody", {}).get("content", {}).values():
        found = [content["schema"]]
        while found:
            one = found.pop()
            if "$ref" in one:
                found.append(schema["components"]["schemas"][one["$ref"].rpartition("/")[2]])
            found += one.get("anyOf", ())
            known |= set(one.get("properties", ()))
    return known
