"""Media as each adapter is handed them, in the framework's own objects, and what its code makes of them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from acontext_plugins.formats import named_items, to_message
from acontext_store.types import Message

from .apis import APIS, refused
from .matrix import facts

#: The bytes of each kind, and their mime types.
BYTES = {
    "image": (b"\x89PNG\r\n\x1a\n", "image/png"),
    "PDF": (b"%PDF-1.7", "application/pdf"),
    "sound": (b"RIFF0000WAVE", "audio/wav"),
    "video": (b"\x00\x00\x00\x18ftyp", "video/mp4"),
    "text file": (b"a,b\n1,2", "text/csv"),
}


def _base64(kind: str) -> str:
    return base64.b64encode(BYTES[kind][0]).decode()


def _langchain(*blocks: dict[str, Any]) -> list[Message]:
    from langchain_core.messages import HumanMessage

    from acontext_adapters.langchain.convert import converted, frozen

    return converted(frozen(HumanMessage(list(blocks))), "m")


def _agno(**media: Any) -> list[Message]:
    from agno.models.message import Message as Said

    from acontext_adapters.agno.convert import copied, message_of

    return [message_of(copied(Said(role="user", content="see", **media), "user"), "m")]


def _agents_sdk(*content: dict[str, Any]) -> list[Message]:
    from acontext_adapters.openai_agents.convert import frozen, input_messages

    return input_messages(frozen([{"role": "user", "content": list(content)}]), "m")


def _wire(name: str, *content: dict[str, Any]) -> list[Message]:
    from acontext_adapters import model_calls

    (made,) = getattr(model_calls, name).messages([{"role": "user", "content": list(content)}])
    return list(made)


def _standard(kind: str) -> str:
    return {"image": "image", "sound": "audio", "video": "video"}.get(kind, "file")


def _v1(kind: str) -> list[Message]:
    block = {"type": _standard(kind), "base64": _base64(kind), "mime_type": BYTES[kind][1]}
    return _langchain({"type": "text", "text": "see"}, block)


def _v0(kind: str) -> list[Message]:
    mime = BYTES[kind][1]
    return _langchain({"type": _standard(kind), "source_type": "base64", "data": _base64(kind), "mime_type": mime})


def _openai_piece(kind: str) -> dict[str, Any] | None:
    data, mime = _base64(kind), BYTES[kind][1]
    if kind == "image":
        return {"type": "image_url", "image_url": {"url": f"data:{mime};base64,{data}"}}
    if kind == "sound":
        return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
    if kind == "PDF":
        return {"type": "file", "file": {"file_data": f"data:{mime};base64,{data}", "filename": "a.pdf"}}
    return None


def _anthropic_block(kind: str) -> dict[str, Any] | None:
    source = {"type": "base64", "media_type": BYTES[kind][1], "data": _base64(kind)}
    return {"type": "image" if kind == "image" else "document", "source": source} if kind in ("image", "PDF") else None


def _responses_piece(kind: str) -> dict[str, Any] | None:
    url = f"data:{BYTES[kind][1]};base64,{_base64(kind)}"
    if kind == "image":
        return {"type": "input_image", "image_url": url, "detail": "auto"}
    return {"type": "input_file", "file_data": url, "filename": "a.pdf"} if kind == "PDF" else None


def _of_gemini(kind: str) -> list[Message]:
    return _langchain({"type": "media", "mime_type": BYTES[kind][1], "data": BYTES[kind][0]})


def _media_of_agno(kind: str) -> list[Message]:
    from agno.media import Audio, File, Image, Video

    data, mime = BYTES[kind]
    if kind == "image":
        return _agno(images=[Image(content=data)])
    if kind == "sound":
        return _agno(audio=[Audio(content=data, format="wav")])
    if kind == "video":
        return _agno(videos=[Video(content=data, format="mp4")])
    return _agno(files=[File(content=data, mime_type=mime, filename="a")])


def _of(make: Callable[..., list[Message]], piece: Callable[[str], dict[str, Any] | None]) -> Any:
    return lambda kind: make(given) if (given := piece(kind)) is not None else None


#: Adapter, and the shape that it is handed -> the messages that it records of a kind; None where it has no such shape.
WAYS: dict[str, Callable[[str], list[Message] | None]] = {
    "LangChain: standard blocks (v1)": _v1,
    "LangChain: standard blocks (v0)": _v0,
    "LangChain: blocks of OpenAI": _of(_langchain, _openai_piece),
    "LangChain: blocks of Anthropic": _of(_langchain, _anthropic_block),
    "LangChain: blocks of Gemini": _of_gemini,
    "Agno: Image, Audio, Video, File": _media_of_agno,
    "OpenAI Agents SDK: input items": _of(_agents_sdk, _responses_piece),
    "LiteLLM and OpenAI clients: chat": _of(lambda piece: _wire("CHAT", piece), _openai_piece),
    "LiteLLM: `/v1/messages`": _of(lambda block: _wire("ANTHROPIC", block), _anthropic_block),
    "LiteLLM and OpenAI clients: responses": _of(lambda piece: _wire("RESPONSES", piece), _responses_piece),
}


def verdict(way: str, kind: str, target: str) -> str | None:
    """What becomes of media of this kind; None where the adapter is never handed them so."""
    messages = WAYS[way](kind)
    if messages is None:
        return None
    if not any(part.type in ("image", "audio", "video", "file") for message in messages for part in message.parts):
        return "LOST"
    lost: list[str] = []
    said = [item for _, item in named_items(messages, target, lost=lost)]
    if target in APIS and (why := refused(target, said)):
        return f"INVALID {why}"
    if lost:
        return "reported"
    there = facts(to_message(item, target) for item in said)
    words = [BYTES[kind][0].decode("latin1")] if kind == "text file" else []
    return "kept" if there == facts(messages) or any(word.split("\n")[0] in str(there) for word in words) else "LOST"


def table() -> str:
    """What becomes of media, for each adapter and each kind."""
    targets = ["openai", "anthropic", "gemini", "acontext", "openai_responses"]
    lines = [f"| | | {' | '.join(targets)} |", "|---" * (len(targets) + 2) + "|"]
    for way in WAYS:
        for kind in BYTES:
            cells = [verdict(way, kind, target) for target in targets]
            if None not in cells:
                lines.append(f"| {way} | {kind} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"
