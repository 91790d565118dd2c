"""What `Acontext` offers: the resources of `AsyncAcontext`, each method waited for.

Generated from the modules of the asynchronous client by `python -m tests.sync_client`: change those.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from acontext_store.ledger import Cost, CostBy
from acontext_store.outcome_sources import NamedSource, Revocation
from acontext_store.types import (
    Artifact,
    ArtifactListing,
    Block,
    BlockType,
    Disk,
    Json,
    Page,
    Skill,
    SkillVersion,
    Space,
    ToolName,
)

from ..files.service import ArtifactResult, Upload
from ..service import (
    Confirmation,
    FlagResult,
    Job,
    SpaceSearchResult,
)
from .asynchronous import AsyncBlocks, AsyncSpaces, AsyncTools, Mode
from .connection import Connection, Resource
from .disks import AsyncArtifacts, AsyncDisks
from .jobs import AsyncJobs
from .outcome_sources import AsyncOutcomeSources


class Spaces(Resource):
    """Spaces: where skills gather, and how they are searched and confirmed."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._async = AsyncSpaces(connection)

    def list(
        self, *, limit: int | None = None, cursor: str | None = None, time_desc: bool | None = None
    ) -> Page[Space]:
        """A page of spaces by time of creation. `limit` is 1 to 200 items (20), `cursor` as the page before gave it.

        Raises InvalidInput for a bad limit or cursor.
        """
        return self._run(self._async.list(limit=limit, cursor=cursor, time_desc=time_desc))

    def create(self, *, configs: Json | None = None, name: str | None = None) -> Space:
        """Create a space. Raises Conflict for a name that is taken.

        >>> space = client.spaces.create(name="billing")
        >>> space.name
        'billing'
        """
        return self._run(self._async.create(configs=configs, name=name))

    def get(self, name: str, *, create: bool = False) -> Space:
        """The space of that name; with `create`, it is made where there is none. Raises NotFound otherwise.

        >>> space = client.spaces.get("billing", create=True)
        >>> client.spaces.get("billing") == space
        True
        """
        return self._run(self._async.get(name, create=create))

    def delete(self, space_id: str) -> None:
        """Delete the space with its skills; its sessions stay. Raises NotFound."""
        return self._run(self._async.delete(space_id))

    def update_configs(self, space_id: str, *, configs: Json) -> None:
        """Replace all configs of the space. Raises NotFound."""
        return self._run(self._async.update_configs(space_id, configs=configs))

    def get_configs(self, space_id: str) -> Space:
        """The space, with its configs in `.configs`. Raises NotFound."""
        return self._run(self._async.get_configs(space_id))

    def experience_search(
        self,
        space_id: str,
        *,
        query: str,
        limit: int | None = None,
        mode: Mode | None = None,
        semantic_threshold: float | None = None,
        max_iterations: int | None = None,
    ) -> SpaceSearchResult:
        """The skills that fit `query`, best first; an empty list where none is relevant. Raises NotFound, InvalidInput.

        `limit` is the most skills returned, 1 to 50 (10). The mode "agentic" walks the tree of the space, with a model
        where one is set, and answers in `final_answer`; `max_iterations` is the number of turns that the model
        has. `semantic_threshold` is the cosine distance (0 to 2) above which a vector does not count. None = as in
        the settings.

        >>> found = client.spaces.experience_search(space.id, query="please refund my broken lamp")
        >>> [item.title for item in found.cited_blocks]
        ['refund a broken item']
        """
        return self._run(
            self._async.experience_search(
                space_id,
                query=query,
                limit=limit,
                mode=mode,
                semantic_threshold=semantic_threshold,
                max_iterations=max_iterations,
            )
        )

    def skills(self, space_id: str, *, candidates: bool = False) -> Sequence[Skill]:
        """The active skills of a space; with `candidates`, those that wait for more evidence, too. Raises NotFound.

        >>> skills = client.spaces.skills(space.id)
        >>> [skill.body.use_when for skill in skills]
        ['refund a broken item']
        """
        return self._run(self._async.skills(space_id, candidates=candidates))

    def skill_versions(self, skill_id: str) -> Sequence[SkillVersion]:
        """All versions of a skill, oldest first. Raises NotFound."""
        return self._run(self._async.skill_versions(skill_id))

    def get_unconfirmed_experiences(
        self, space_id: str, *, limit: int | None = None, cursor: str | None = None, time_desc: bool | None = None
    ) -> Page[Confirmation]:
        """A page of skills, and new versions of skills, that wait until a person confirms them.

        `limit` is 1 to 200 items (20), `cursor` the `next_cursor` of the page before. Raises NotFound, InvalidInput.
        """
        return self._run(
            self._async.get_unconfirmed_experiences(space_id, limit=limit, cursor=cursor, time_desc=time_desc)
        )

    def confirm_experience(
        self, space_id: str, experience_id: str, *, save: bool, experience_data: Json | None = None
    ) -> Confirmation | None:
        """Confirm a waiting skill (`save`), which is used from now on; or discard it for good.

        `experience_id` is the id that `get_unconfirmed_experiences` gave, `experience_data` what to save instead, in
        the form in which it was listed; fields that it lacks stay as they were. Automation never changes a skill that
        a person has changed. Raises NotFound where no such skill waits, InvalidInput for the data.
        """
        return self._run(
            self._async.confirm_experience(space_id, experience_id, save=save, experience_data=experience_data)
        )

    def costs(
        self,
        space_id: str | None = None,
        *,
        by: Collection[CostBy] = (),
        since: str | None = None,
        until: str | None = None,
    ) -> Sequence[Cost]:
        """Calls, tokens and US dollars of models, of a space or (None) of the project: a sum for each value of `by`.

        `by` has any of "space", "session", "job", "model", "prompt", "day". Calls from `since` on and before `until`
        count: days (2026-01-31) or times (RFC 3339), in UTC. Raises InvalidInput.
        """
        return self._run(self._async.costs(space_id, by=by, since=since, until=until))


class Blocks(Resource):
    """The tree of folders, pages and skills of a space."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._async = AsyncBlocks(connection)

    def list(
        self, space_id: str, *, parent_id: str | None = None, block_type: BlockType | None = None, tree: bool = False
    ) -> Sequence[Block]:
        """Blocks under `parent_id` (None = at the root), in order; `tree` fills `children` all the way down.

        Raises NotFound for the space or the parent.
        """
        return self._run(self._async.list(space_id, parent_id=parent_id, block_type=block_type, tree=tree))

    def create(
        self,
        space_id: str,
        *,
        block_type: BlockType,
        parent_id: str | None = None,
        title: str | None = None,
        props: Json | None = None,
    ) -> Block:
        """Create a block at the end of its siblings: a "folder", a "page", or on a page a "text" or a skill ("sop").

        Raises NotFound for the space or the parent, InvalidInput where that type cannot stand there.
        """
        return self._run(
            self._async.create(space_id, block_type=block_type, parent_id=parent_id, title=title, props=props)
        )

    def get_properties(self, space_id: str, block_id: str) -> Block:
        """The block with its title and props, without its children. Raises NotFound."""
        return self._run(self._async.get_properties(space_id, block_id))

    def update_properties(
        self, space_id: str, block_id: str, *, title: str | None = None, props: Json | None = None
    ) -> None:
        """Change the title, the props or both. Automation leaves a skill alone once a person has changed it.

        Raises NotFound, InvalidInput.
        """
        return self._run(self._async.update_properties(space_id, block_id, title=title, props=props))

    def move(self, space_id: str, block_id: str, *, parent_id: str | None = None, sort: int | None = None) -> None:
        """Move a block under `parent_id` (None = the root), to position `sort` from 0 on (None = the end).

        Raises NotFound, and InvalidInput where the block cannot stand there.
        """
        return self._run(self._async.move(space_id, block_id, parent_id=parent_id, sort=sort))

    def update_sort(self, space_id: str, block_id: str, *, sort: int) -> None:
        """Move a block to position `sort` among its siblings, from 0 on. Raises NotFound."""
        return self._run(self._async.update_sort(space_id, block_id, sort=sort))

    def delete(self, space_id: str, block_id: str) -> None:
        """Delete a block and all below it. Raises NotFound."""
        return self._run(self._async.delete(space_id, block_id))


class Tools(Resource):
    """The tools that skills call."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._async = AsyncTools(connection)

    def get_tool_name(self) -> Sequence[ToolName]:
        """The tools that active skills call, by name, and how many skills call each."""
        return self._run(self._async.get_tool_name())

    def rename_tool_name(self, *, rename: Sequence[Mapping[str, str]]) -> FlagResult:
        """Rename tools in all that was learned: `[{"old_name": ..., "new_name": ...}]`. Unknown names change nothing.

        `changed` of the result is the number of changed skills. Raises InvalidInput that names the bad entry.
        """
        return self._run(self._async.rename_tool_name(rename=rename))


class Artifacts(Resource):
    """Files on disks, each in a folder ("/notes/") and with a name ("todo.md")."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._async = AsyncArtifacts(connection)

    def upsert(
        self,
        disk_id: str,
        *,
        file: Upload,
        file_path: str | None = None,
        meta: Mapping[str, Any] | None = None,
        if_sha256: str | None = None,
    ) -> Artifact:
        """Keep a file in the folder `file_path` ("/notes/"), in place of the one with its name there.

        `file` is a `FileUpload`, or `(name, bytes or a file opened in binary mode)`; big files go through in pieces.
        Where it fails, the old file is still there. Raises NotFound, InvalidInput, and Conflict where the bytes of the
        old file do not have the hash `if_sha256`.

        >>> artifact = client.artifacts.upsert(disk.id, file=("todo.md", b"call ann"), file_path="/notes/")
        >>> artifact.full_path, artifact.size
        ('/notes/todo.md', 8)
        """
        return self._run(self._async.upsert(disk_id, file=file, file_path=file_path, meta=meta, if_sha256=if_sha256))

    def get(
        self,
        disk_id: str,
        *,
        file_path: str,
        filename: str,
        with_public_url: bool | None = None,
        with_content: bool | None = None,
        expire: int | None = None,
    ) -> ArtifactResult:
        """A file, its text where it has one, and a link that a plain GET can download for `expire` seconds (3600).

        `with_public_url` None = only where a server answers the link (`public_url` of the settings); the link of an
        embedded client is for programs on this machine, as long as the client is open. Raises NotFound.

        >>> found = client.artifacts.get(disk.id, file_path="/notes/", filename="todo.md")
        >>> found.content.raw
        'call ann'
        """
        return self._run(
            self._async.get(
                disk_id,
                file_path=file_path,
                filename=filename,
                with_public_url=with_public_url,
                with_content=with_content,
                expire=expire,
            )
        )

    def update(self, disk_id: str, *, file_path: str, filename: str, meta: Mapping[str, Any]) -> ArtifactResult:
        """Replace the meta of a file. Raises NotFound, InvalidInput."""
        return self._run(self._async.update(disk_id, file_path=file_path, filename=filename, meta=meta))

    def delete(self, disk_id: str, *, file_path: str, filename: str) -> None:
        """Delete a file. Raises NotFound."""
        return self._run(self._async.delete(disk_id, file_path=file_path, filename=filename))

    def list(self, disk_id: str, *, path: str | None = None) -> ArtifactListing:
        """The files directly in a folder ("/notes/"; None = the root), and the names of its folders.

        Raises NotFound for the disk.
        """
        return self._run(self._async.list(disk_id, path=path))

    def grep_artifacts(self, disk_id: str, *, query: str, limit: int = 100) -> Sequence[Artifact]:
        """Text files of which a line matches the regular expression `query`, `limit` files at most.

        Raises NotFound, and InvalidInput for what is no regular expression.
        """
        return self._run(self._async.grep_artifacts(disk_id, query=query, limit=limit))

    def glob_artifacts(self, disk_id: str, *, query: str, limit: int = 100) -> Sequence[Artifact]:
        """Files whose path matches `query`, `limit` files at most. Raises NotFound, InvalidInput.

        `*.txt` matches at the root, `**/*.txt` anywhere, `/docs/**` below docs.
        """
        return self._run(self._async.glob_artifacts(disk_id, query=query, limit=limit))

    def download(self, disk_id: str, *, file_path: str, filename: str, to: str | os.PathLike[str]) -> Artifact:
        """Write a file's bytes to `to`, in pieces. Raises NotFound, StoreUnavailable."""
        return self._run(self._async.download(disk_id, file_path=file_path, filename=filename, to=to))


class Disks(Resource):
    """Disks: places for files."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._async = AsyncDisks(connection)
        self.artifacts = Artifacts(connection)

    def list(self, *, limit: int | None = None, cursor: str | None = None, time_desc: bool | None = None) -> Page[Disk]:
        """A page of disks by time of creation. `limit` is 1 to 200 items (20), `cursor` as the page before gave it.

        Raises InvalidInput for a bad limit or cursor.
        """
        return self._run(self._async.list(limit=limit, cursor=cursor, time_desc=time_desc))

    def create(self) -> Disk:
        """Create an empty disk.

        >>> disk = client.disks.create()
        >>> listing = client.artifacts.list(disk.id)
        >>> len(listing.artifacts)
        0
        """
        return self._run(self._async.create())

    def of_session(self, session_id: str) -> Disk:
        """The session's own disk, made on first use and deleted with the session. Raises NotFound."""
        return self._run(self._async.of_session(session_id))

    def delete(self, disk_id: str) -> None:
        """Delete the disk with its files. Raises NotFound."""
        return self._run(self._async.delete(disk_id))


class Jobs(Resource):
    """Background work: observing, learning and embedding."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._async = AsyncJobs(connection)

    def list(
        self, *, dead: bool | None = None, space_id: str | None = None, session_id: str | None = None, limit: int = 200
    ) -> Sequence[Job]:
        """Jobs to be done, jobs that failed for good and wait for a person (`dead`), or both (None).

        `limit` is the most jobs returned, 1 to 10,000. Raises InvalidInput.
        """
        return self._run(self._async.list(dead=dead, space_id=space_id, session_id=session_id, limit=limit))

    def retry(self, *, space_id: str | None = None, session_id: str | None = None) -> int:
        """Make all failed jobs due now, with no attempts counted: of a space, of a session, or of the project.

        Returns the number of jobs. Raises NotFound.
        """
        return self._run(self._async.retry(space_id=space_id, session_id=session_id))


class OutcomeSources(Resource):
    """Those who say how runs went, by the name that `report(by=...)` gives: verifiers, persons, frameworks."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._async = AsyncOutcomeSources(connection)

    def list(self) -> Sequence[NamedSource]:
        """The sources that are registered or have given an outcome, by name.

        >>> [source.name for source in client.outcome_sources.list()]
        []
        """
        return self._run(self._async.list())

    def register(self, name: str, *, strength: float = 1.0, note: str | None = None) -> NamedSource:
        """Set the most that outcomes of that name may claim from now on.

        `strength` goes from 0 (nothing) to 1 (as much as the host itself). A source that was revoked counts again; what
        it said before stays withdrawn. `note` is for people; None leaves it as it is. Raises InvalidInput.

        >>> source = client.outcome_sources.register("unit-tests", strength=0.8)
        >>> source.strength
        0.8
        """
        return self._run(self._async.register(name, strength=strength, note=note))

    def revoke(self, name: str, *, timeout: float | None = None) -> Revocation:
        """Believe nothing of what that source said or will say, and withdraw what rested on it alone.

        Its conversations are observed anew, and spaces learn from what is left; the result lists the tasks and skills
        that this concerns. Where models observe and learn, that is left to the background, and `waits_for` says so.
        It is safe to call again: that goes on where it was stopped, after `timeout` seconds for instance (None = no
        limit), and lists what has become of it. Raises NotFound for a name that nobody has registered or used.

        >>> source = client.outcome_sources.register("unit-tests", strength=0.8)
        >>> revocation = client.outcome_sources.revoke("unit-tests")
        >>> revocation.source.strength, revocation.skills
        (0.0, ())
        """
        return self._run(self._async.revoke(name, timeout=timeout))
