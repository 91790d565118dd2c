"""What a user says behind a finished task: an objection, something new, or what may be either."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acontext_plugins.transcript.user_turns import Turn, TurnReader
from acontext_store.types import Message, Part

from .talk import Talk


def said_after_a_restart(text: str) -> Turn:
    reader = TurnReader()
    reader.user("Please restart the web container.")
    meta = {"id": "1", "name": "restart_container", "arguments": '{"name": "web"}'}
    reader.agent(Message(role="assistant", parts=(Part(type="tool-call", meta=meta),)))
    reader.agent(Message(role="assistant", parts=(Part(type="text", text="The web container has been restarted."),)))
    return reader.user(text)


@pytest.mark.parametrize(
    "text",
    [
        "Not that one, the api one.",
        "Undo that.",
        "Stop!",
        "Undo the restart.",
        "Wrong container.",
        "Hmm no. The other one.",
        "Why did you restart that one?",
        "I said the API container, not web",
        "It still doesn't work",
        "Nothing works anymore!",
        "you restarted the wrong one",
        "Nein, den anderen.",
        "Non, l'autre conteneur.",
        "Está errado, eu queria a api.",
        "No es eso, me refería al contenedor api",
        "Non è quello che volevo",
        "Dat klopt niet",
        "Det är fel container",
        "To jest źle, chodziło mi o api.",
        "Ты перезапустил не то",
        "Ты сломал сайт",
        "Yanlış, api container demek istedim.",
        "هذا خطأ، أقصد حاوية api",
        "यह गलत है",
        "それじゃない",
        "틀렸어요, api 컨테이너요",
        "不对，我要的是api",
        "Không phải cái đó",
        "Bukan itu, maksud saya api",
    ],
)
def test_an_objection_is_heard_in_many_words_and_languages(text: str) -> None:
    assert said_after_a_restart(text) == "correction"


@pytest.mark.parametrize(
    "text",
    [
        "Nobody answered my mail, call the vendor",
        "No need for a receipt. Book me a taxi at nine.",
        "Not urgent: please order new paper",
        "Non-urgent: order paper",
        "Wrong address on invoice 8, please correct it.",
        "Find out what is wrong with invoice 7.",
        "Revert the price of product 55 to 10 euros.",
        "Restore the backup from Monday on the mail server",
        "Stop words should be removed from my essay",
        "Cancel that subscription of Netflix",
        "Why did the build fail last night?",
        "It is not working hours, remind me tomorrow",
        "The printer is broken, order a new one",
        "Falsche Rechnungen bitte löschen",
        "No te olvides de enviar el informe a Ana",
        "Nie mam czasu, umów spotkanie na jutro",
    ],
)
def test_a_request_that_begins_like_an_objection_is_a_request(text: str) -> None:
    assert said_after_a_restart(text) == "request"


@pytest.mark.parametrize(
    "text", ["Stop the web container and start api", "The web container is down again", "Undo the web deployment"]
)
def test_what_may_be_either_is_in_doubt(text: str) -> None:
    assert said_after_a_restart(text) == "doubt"


@given(st.lists(st.tuples(st.booleans(), st.text()), max_size=6))
def test_any_talk_can_be_read(turns: list[tuple[bool, str]]) -> None:
    reader = TurnReader()
    for is_user, text in turns:
        if is_user:
            assert reader.user(text) in ("request", "answer", "thanks", "correction", "confirmation", "doubt")
        else:
            reader.agent(Message(role="assistant", parts=(Part(type="text", text=text),)))


def test_a_success_in_doubt_is_unknown_and_teaches_nothing() -> None:
    talk = Talk().user("Please restart the web container.").does("restart_container", name="web").agent("Restarted.")
    talk.user("The web container is down again").does("check_container", name="web").agent("It is up.")
    first, second = talk.tasks()
    assert (first.status, first.outcome.status if first.outcome else None) == ("pending", "unknown")
    assert second.data["task_description"] == "The web container is down again"


def test_a_report_outranks_a_doubt() -> None:
    talk = Talk().user("Please restart the web container.").does("restart_container", name="web").agent("Restarted.")
    talk.ends("success").user("The web container is down again").does("check_container", name="web").agent("It is up.")
    assert talk.tasks()[0].status == "success"
