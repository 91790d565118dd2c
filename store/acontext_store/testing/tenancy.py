"""What a store promises about projects: nothing of one can be read, changed or noticed from another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ..embedding import VectorOps
from ..errors import AcontextError
from ..injections import Injection, InjectionStore
from ..ledger import COST_BY, ModelCall
from ..protocols import Pending, SourceStore, Store
from ..tokenizer import words
from ..types import Block, Claim, Episode, LaneKind, SkillOps, Space, TaskOps
from .disks import OLD, a_disk, a_file, put, with_blob
from .embedding import embedded, read
from .factories import a_session, a_space, a_task, an_edit, an_outcome, claimed, done, learned, observed, said, talk

_KINDS: tuple[LaneKind, ...] = ("observe", "learn", "embed")


class TenantFixture:
    """A project with something of everything, and the names under which to ask for it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.space_id = a_space(store, "travel")
        talk(store, "s1", space_id=self.space_id)
        done(store.append("s1", [], [an_outcome(by="ci"), an_outcome(by="old")]))
        done(store.register_source("ci", strength=0.9, note="secret"))
        done(store.revoke_source("old"))
        observed(store, [a_task(project_id=store.project_id)])
        episode = Episode(task_id="t1", session_id="s1", space_id=self.space_id, body={"secret": 1})
        learned(store, self.space_id, an_edit(requests=["secret words"]), episodes=(episode,))
        done(store.embed_with("m1"))
        embedded(store, self.space_id)
        learned(store, self.space_id, an_edit("k2", requests=["more secret words"]))
        done(store.log_injection(Injection(id="i1", space_id=self.space_id, session_id="s1", anchor="")))
        done(store.log_call(ModelCall(id="c1", job="learn", model="m", space_id=self.space_id, prompt_tokens=7)))
        self.page_id = done(store.blocks(self.space_id))[0].id
        done(
            store.create_session(a_session("keyed", project_id=store.project_id, key="thread", configs={"tenant": "a"}))
        )
        done(store.append("keyed", [said("due"), with_blob("3d" * 32)]))
        a_disk(store)
        put(store, "/notes/secret.md", "/gone", meta={"secret": 1})
        done(store.put_artifact(a_file("/gone", sha256="4e" * 32)))
        done(store.delete_artifact("d1", "/", "gone"))
        self.claim = claimed(store, "learn", self.space_id, owner="w1")
        done(store.release(self.claim))
        self.claim = claimed(store, "learn", self.space_id, owner="w1")

    def everything(self) -> dict[str, Any]:
        """All that can be read of it."""
        store, space_id = self.store, self.space_id
        return {
            "sessions": done(store.sessions()),
            "messages": [done(store.messages(id)) for id in ("s1", "keyed")],
            "outcomes": done(store.outcomes("s1")),
            "sources": done(store.named_sources()),
            "revocation": done(store.revocation("old")),
            "tasks": done(store.tasks("s1")),
            "undigested": done(store.undigested(space_id)),
            "resume": done(store.resume_seq("s1")),
            "spaces": done(store.spaces()),
            "blocks": done(store.blocks(space_id, tree=True)),
            "skills": done(store.skills(space_id)),
            "versions": done(store.skill_versions("k1")),
            "episodes": done(store.episodes(space_id)),
            "frequencies": done(store.frequencies(space_id, words("secret booking"))),
            "search": done(store.search(space_id, words("secret booking"))),
            "embedder": done(store.embedder()),
            "unembedded": done(store.unembedded(space_id)),
            "vectors": read(store, space_id),
            "injections": done(store.injections(space_id)),
            "placements": done(store.placements(space_id, "s1")),
            "calls": done(store.calls()),
            "costs": done(store.costs(by=COST_BY)),
            "lanes": done(store.lanes()),
            "disks": done(store.disks()),
            "artifacts": done(store.artifacts("d1")),
            "unused": done(store.unused_blobs()),
            "used": done(store.used_blobs([OLD, "3d" * 32, "4e" * 32])),
            "stats": done(store.stats()),
        }

    def calls(self, store: Store) -> dict[str, list[Callable[[], Pending[Any]]]]:
        """Every method of `store`, asked about this project's things."""
        space_id, page_id, project_id = self.space_id, self.page_id, store.project_id
        claim: Claim = self.claim
        task = a_task(project_id=project_id)
        return {
            "create_session": [lambda: store.create_session(a_session("x", project_id=project_id, space_id=space_id))],
            "session": [lambda: store.session("s1")],
            "sessions": [
                lambda: store.sessions(),
                lambda: store.sessions(space_id=space_id),
                lambda: store.sessions(key="thread"),
                lambda: store.sessions(principal="ann"),
                lambda: store.sessions(not_connected=True),
                lambda: store.sessions(filter_by_configs={"tenant": "a"}),
            ],
            "update_session": [lambda: store.update_session("s1", configs={"taken": 1})],
            "delete_session": [lambda: store.delete_session("s1")],
            "append": [
                lambda: store.append("s1", [said("intruder")]),
                lambda: store.append("y", [said("x")], ensure=a_session("y", project_id=project_id, space_id=space_id)),
            ],
            "replace": [lambda: store.replace(a_session("s1", project_id=project_id, space_id=space_id), [said("x")])],
            "messages": [lambda: store.messages("s1")],
            "message": [lambda: store.message("s1", "s1-m1")],
            "update_message": [lambda: store.update_message("s1", "s1-m1", meta={"taken": 1})],
            "observing_status": [lambda: store.observing_status("s1")],
            "outcomes": [lambda: store.outcomes("s1")],
            "register_source": [],  # as with spaces
            "named_sources": [lambda: store.named_sources()],
            "revoke_source": [lambda: store.revoke_source("ci"), lambda: store.revoke_source("old")],
            "revocation": [lambda: store.revocation("ci"), lambda: store.revocation("old")],
            "tasks": [lambda: store.tasks("s1")],
            "task": [lambda: store.task("t1")],
            "resume_seq": [lambda: store.resume_seq("s1")],
            "apply_tasks": [
                lambda: store.apply_tasks(
                    claim.model_copy(update={"kind": "observe", "key": "s1"}), TaskOps(session_id="s1", tasks=(task,))
                )
            ],
            "undigested": [lambda: store.undigested(space_id)],
            "learning_status": [lambda: store.learning_status("s1")],
            "create_space": [],  # names and ids are free in each project: see below
            "space": [lambda: store.space(space_id)],
            "space_by_name": [lambda: store.space_by_name("travel")],
            "spaces": [lambda: store.spaces()],
            "update_space": [lambda: store.update_space(space_id, configs={"taken": 1})],
            "delete_space": [lambda: store.delete_space(space_id)],
            "blocks": [lambda: store.blocks(space_id), lambda: store.blocks(space_id, tree=True)],
            "block": [lambda: store.block(space_id, "k1")],
            "create_block": [lambda: store.create_block(Block(id="b", space_id=space_id, type="page", title="t"))],
            "update_block": [lambda: store.update_block(space_id, "k1", title="taken")],
            "move_block": [lambda: store.move_block(space_id, page_id)],
            "sort_block": [lambda: store.sort_block(space_id, page_id, 0)],
            "delete_block": [lambda: store.delete_block(space_id, page_id)],
            "skills": [lambda: store.skills(space_id)],
            "skill": [lambda: store.skill("k1")],
            "skills_by_id": [lambda: store.skills_by_id(["k1"])],
            "skill_versions": [lambda: store.skill_versions("k1")],
            "proposals": [lambda: store.proposals(space_id)],
            "proposed_skills": [lambda: store.proposed_skills(space_id)],
            "confirm": [lambda: store.confirm(space_id, "k1"), lambda: store.confirm(space_id, "k1", data={})],
            "reject": [lambda: store.reject(space_id, "k1")],
            "set_skill_status": [lambda: store.set_skill_status("k1", "retired")],
            "tool_names": [lambda: store.tool_names()],
            "rename_tools": [lambda: store.rename_tools({"book": "taken"}, episode=dict, text=str)],
            "episodes": [lambda: store.episodes(space_id)],
            "apply_skills": [lambda: store.apply_skills(claim, SkillOps(space_id=space_id, edits=(an_edit(),)))],
            "frequencies": [lambda: store.frequencies(space_id, words("secret"))],
            "search": [lambda: store.search(space_id, words("secret"))],
            "read_snapshot": [
                lambda: store.read_snapshot(lambda moment: moment.space_by_name("secret")),
                lambda: store.read_snapshot(lambda moment: moment.frequencies(space_id, words("secret"))),
                lambda: store.read_snapshot(lambda moment: moment.search(space_id, words("secret"))),
                lambda: store.read_snapshot(lambda moment: moment.skills_by_id(["k1"])),
                lambda: store.read_snapshot(lambda moment: moment.session("s1")),
                lambda: store.read_snapshot(lambda moment: moment.messages("s1")),
                lambda: store.read_snapshot(lambda moment: moment.outcomes("s1")),
                lambda: store.read_snapshot(lambda moment: moment.tasks("s1")),
                lambda: store.read_snapshot(lambda moment: moment.resume_seq("s1")),
                lambda: store.read_snapshot(lambda moment: moment.vectors(space_id, model="m1", dimensions=2)),
                lambda: store.read_snapshot(lambda moment: moment.embedded_skills(space_id, model="m1", dimensions=2)),
            ],
            "embed_with": [],  # each project has its own: see below
            "embedder": [lambda: store.embedder()],
            "unembedded": [lambda: store.unembedded(space_id)],
            "apply_vectors": [
                lambda: store.apply_vectors(
                    claim.model_copy(update={"kind": "embed"}), VectorOps(space_id=space_id, model="m1", dimensions=2)
                )
            ],
            "log_injection": [lambda: store.log_injection(Injection(id="i1", space_id=space_id))],
            "injections": [lambda: store.injections(space_id)],
            "placements": [
                lambda: store.placements(space_id, "s1"),
                lambda: store.read_snapshot(lambda moment: moment.placements(space_id, "s1", [""])),
            ],
            "log_call": [],  # as with spaces
            "calls": [lambda: store.calls(), lambda: store.calls(space_id=space_id)],
            "costs": [lambda: store.costs(), lambda: store.costs(by=COST_BY, space_id=space_id)],
            "create_disk": [],  # as with spaces
            "disk": [lambda: store.disk("d1")],
            "disk_of_session": [lambda: store.disk_of_session("s1")],
            "disks": [lambda: store.disks()],
            "delete_disk": [lambda: store.delete_disk("d1")],
            "put_artifact": [lambda: store.put_artifact(a_file("/notes/secret.md", sha256="5f" * 32))],
            "artifact": [lambda: store.artifact("d1", "/notes/", "secret.md")],
            "update_artifact": [lambda: store.update_artifact("d1", "/notes/", "secret.md", meta={"taken": 1})],
            "delete_artifact": [lambda: store.delete_artifact("d1", "/notes/", "secret.md")],
            "list_artifacts": [lambda: store.list_artifacts("d1"), lambda: store.list_artifacts("d1", "/notes/")],
            "artifacts": [lambda: store.artifacts("d1")],
            "unused_blobs": [lambda: store.unused_blobs()],
            "forget_blobs": [lambda: store.forget_blobs(["4e" * 32])],
            "used_blobs": [lambda: store.used_blobs([OLD, "3d" * 32, "4e" * 32])],
            "schedule_now": [
                lambda: store.schedule_now("observe", "s1"),
                lambda: store.schedule_now("learn", space_id),
            ],
            "claim": [lambda: store.claim("w1", kinds=_KINDS, lease=60, limit=100)],
            "heartbeat": [lambda: store.heartbeat(claim, lease=60)],
            "release": [lambda: store.release(claim), lambda: store.release(claim, error="x", dead=True)],
            "next_due": [lambda: store.next_due(kinds=_KINDS)],
            "retry": [
                lambda: store.retry(),
                lambda: store.retry(space_id=space_id),
                lambda: store.retry(session_id="s1"),
            ],
            "lanes": [lambda: store.lanes(), lambda: store.lanes(dead=True)],
            "stats": [lambda: store.stats()],
            "flush": [lambda: store.flush()],
            "close": [],
        }


def _answer(call: Callable[[], Pending[Any]]) -> str:
    try:
        return repr(done(call()))
    except AcontextError as error:
        return repr(error)


class TenancyContract:
    """Nothing of one project can be read, changed or detected from another."""

    def test_every_method_is_asked(self, store: Store) -> None:
        asked = set(TenantFixture(store).calls(store))
        named = {
            name for kind in (Store, SourceStore, InjectionStore) for name in vars(kind) if not name.startswith("_")
        }
        assert asked == named - {"project_id"}

    def test_a_neighbour_is_answered_as_if_it_lived_alone(
        self, store: Store, open_store_again: Callable[[str], Store]
    ) -> None:
        """The same questions, put beside a full project and beside an empty one, have the same answers."""
        full = TenantFixture(store)
        before = full.everything()
        beside_full = self._answers(full, open_store_again("p2"))
        assert full.everything() == before
        done(store.delete_space(full.space_id))
        for session in done(store.sessions()).items:
            done(store.delete_session(session.id))
        assert beside_full == self._answers(full, open_store_again("p3"))
        assert {name for name, _ in beside_full} == {name for name, calls in full.calls(store).items() if calls}

    @staticmethod
    def _answers(full: TenantFixture, neighbour: Store) -> list[tuple[str, str]]:
        return [(name, _answer(call)) for name, calls in full.calls(neighbour).items() for call in calls]

    def test_two_projects_may_use_the_same_names(self, store: Store, open_store_again: Callable[[str], Store]) -> None:
        first = TenantFixture(store)
        before = first.everything()
        other = open_store_again("p2")
        space = Space(id=first.space_id, project_id="p2", name="travel")
        done(other.create_space(space))
        talk(other, "s1", space_id=space.id, count=5)
        observed(other, [a_task(project_id="p2", status="failed")], observed_seq=5)
        learned(other, space.id, an_edit(requests=["something else"] * 3))
        assert done(other.frequencies(space.id, words("secret"))) == (2, {"secret": 0})
        assert done(other.embedder()) is None
        done(other.embed_with("m2"))
        embedded(other, space.id, model="m2")
        assert first.everything() == before
        done(other.delete_block(space.id, "k1"))
        assert first.everything() == before
        done(other.delete_session("s1"))
        assert first.everything() == before
        done(other.delete_space(space.id))
        assert first.everything() == before
        assert done(other.stats()).sessions == 0

    def test_a_cursor_of_another_project_leads_nowhere(
        self, store: Store, open_store_again: Callable[[str], Store]
    ) -> None:
        for n in range(3):
            talk(store, f"s{n}")
        cursor = done(store.sessions(limit=1)).next_cursor
        assert cursor is not None
        assert done(open_store_again("p2").sessions(cursor=cursor)).items == []

    @pytest.mark.parametrize("words_in_p2", [0, 50])
    def test_scores_do_not_tell_of_other_projects(
        self, store: Store, open_store_again: Callable[[str], Store], words_in_p2: int
    ) -> None:
        space_id = a_space(store)
        learned(store, space_id, an_edit())
        before = done(store.search(space_id, words("table")))
        other = open_store_again("p2")
        elsewhere = a_space(other)
        learned(other, elsewhere, *(an_edit(f"o{n}") for n in range(words_in_p2)))
        assert done(store.search(space_id, words("table"))) == before
