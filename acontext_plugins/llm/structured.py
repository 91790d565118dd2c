"""Structured answers: ask, check, and ask once more where the answer cannot be taken."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from acontext_store.errors import InvalidAnswer, Refused
from acontext_store.types import Json

from .base import LLM, Reply, Request
from .schemas import unfenced

Answer = TypeVar("Answer", bound=BaseModel)

_REPAIR = (
    "That answer cannot be taken:\n{problems}\nAnswer again with the whole JSON object, corrected, and nothing else."
)
MOST_PROBLEMS = 10


async def ask_for(
    llm: LLM,
    request: Request,
    answer: type[Answer],
    *,
    check: Callable[[Answer], Sequence[str]] = lambda found: (),
    repairs: int = 1,
) -> Answer:
    """The model's answer as `answer`; `check` may name what is wrong with it beyond its shape.

    An answer that is cut off, no JSON, of another shape, or fails the check is sent back with its problems,
    `repairs` times. Raises InvalidAnswer after that, Refused where a content filter kept the answer back, and
    LearningUnavailable where nobody answers.
    """
    asked = request.model_copy(update={"answer": _schema_of(answer), "answer_name": answer.__name__.lower()})
    for left in range(repairs, -1, -1):
        reply = await llm.complete(asked)
        if reply.finish == "content_filter":
            raise Refused(f"{llm.model} would not answer: its content filter kept the answer back")
        try:
            found = answer.model_validate(_object(reply))
            problems = list(check(found))
        except ValidationError as error:
            problems = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        except ValueError as error:
            problems = [str(error)]
        if not problems:
            return found
        if left:
            told = "\n".join(f"- {problem}" for problem in problems[:MOST_PROBLEMS])
            repair = (
                {"role": "assistant", "content": reply.text},
                {"role": "user", "content": _REPAIR.format(problems=told)},
            )
            asked = asked.model_copy(update={"messages": (*request.messages, *repair)})
    raise InvalidAnswer(f"{llm.model} gave no answer that can be taken: {'; '.join(problems[:3])}")


@lru_cache(maxsize=64)
def _schema_of(answer: type[BaseModel]) -> Json:
    """Making one takes longer than all else that is done for a call."""
    return answer.model_json_schema()


def _object(reply: Reply) -> Json:
    """The JSON object of a reply."""
    if reply.finish == "length":
        raise ValueError("the answer was cut off before its end; make it shorter")
    try:
        found = json.loads(unfenced(reply.text))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"a JSON object is wanted, not {type(found).__name__}")
    return found
