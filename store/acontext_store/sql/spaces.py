"""Spaces, and the tree of blocks in each."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, func, select, update

from ..errors import Conflict, InvalidInput, NotFound
from ..records import visible
from ..types import Block, BlockType, Json, Page, Space, new_id, now
from . import jobs, search, skills
from .database import Tx, dump, load, page
from .tables import blocks, episodes, injections, sessions, spaces, tasks, tombstones
from .tables import skills as skills_table

#: What says in the configs of a space that a person confirms what is learned.
_CONFIRM = "confirm"

_MAY_HOLD: dict[str, tuple[str, ...]] = {
    "root": ("folder", "page"),
    "folder": ("folder", "page"),
    "page": ("text", "sop"),
    "text": (),
    "sop": (),
}


# ------------------------------------------------------------------------------------------------- spaces


def create_space(tx: Tx, space: Space) -> Space:
    if space.project_id != tx.project_id:
        raise InvalidInput(f"the space belongs to project {space.project_id!r}, this store to {tx.project_id!r}")
    if tx.find(spaces, id=space.id) is not None:
        raise Conflict(f"there is a space {space.id!r} already: use another id, or go on with that one")
    if space.name is not None and tx.find(spaces, name=space.name) is not None:
        raise Conflict(f"there is a space named {space.name!r} already: use another name, or go on with that one")
    _check(space.configs)
    highest = tx.sql.execute(select(func.max(spaces.c.number)).where(tx.mine(spaces))).scalar_one()
    tx.add(
        spaces,
        [
            {
                "id": space.id,
                "number": (highest or 0) + 1,
                "name": space.name,
                "configs": None if space.configs is None else dump(space.configs),
                "created_at": space.created_at,
                "updated_at": space.updated_at,
            }
        ],
    )
    return space


def space(tx: Tx, space_id: str) -> Space:
    return space_of(tx.get(spaces, "space", space_id))


def space_by_name(tx: Tx, name: str, *, create: bool) -> Space:
    row = tx.find(spaces, name=name)
    if row is not None:
        return space_of(row)
    if not create:
        raise NotFound("space", name)
    return create_space(tx, Space(id=new_id(), project_id=tx.project_id, name=name))


def list_spaces(tx: Tx, *, limit: int, cursor: str | None, time_desc: bool) -> Page[Space]:
    query = spaces.select().where(tx.mine(spaces))
    return page(
        tx,
        query,
        spaces.c.created_at,
        spaces.c.id,
        space_of,
        limit=limit,
        cursor=cursor,
        time_desc=time_desc,
    )


def update_space(tx: Tx, space_id: str, *, configs: Json) -> Space:
    tx.get(spaces, "space", space_id)
    _check(configs)
    tx.change(spaces, {"configs": dump(configs), "updated_at": now()}, id=space_id)
    return space(tx, space_id)


def _check(configs: Json | None) -> None:
    asks = (configs or {}).get(_CONFIRM)
    if asks is not None and not isinstance(asks, bool):
        raise InvalidInput(
            f"configs.{_CONFIRM} is {asks!r}: it must be true (what is learned waits for a person), false, or null "
            "(as the settings say)"[:300]
        )


def asks(tx: Tx, space_id: str, *, default: bool) -> bool:
    """Whether what is learned in the space waits for a person."""
    found = (space(tx, space_id).configs or {}).get(_CONFIRM)
    return default if found is None else found is not False


def delete_space(tx: Tx, space_id: str) -> None:
    number = tx.get(spaces, "space", space_id).number
    tx.change(sessions, {"space_id": None}, space_id=space_id)
    tx.change(tasks, {"space_id": None}, space_id=space_id)
    jobs.forget_space(tx, space_id)
    search.forget_space(tx, space_id, number)
    for table in (skills_table, blocks, episodes, injections, tombstones):
        tx.drop(table, space_id=space_id)
    tx.drop(spaces, id=space_id)
    tx.purged = True


def space_of(row: Row[Any]) -> Space:
    return Space.model_construct(
        id=row.id,
        project_id=row.project_id,
        name=row.name,
        configs=None if row.configs is None else load(row.configs),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


# ------------------------------------------------------------------------------------------------- blocks


def list_blocks(tx: Tx, space_id: str, *, parent_id: str | None, type: BlockType | None, tree: bool) -> list[Block]:
    tx.get(spaces, "space", space_id)
    if parent_id is not None:
        _row(tx, space_id, parent_id)
    if tree:
        return _tree(tx, space_id, parent_id or "", type)
    query = blocks.select().where(tx.mine(blocks, space_id=space_id, parent_id=parent_id or ""))
    if type is not None:
        query = query.where(blocks.c.type == type)
    rows, bodies = _listed(tx, query)
    return [_block(row, bodies) for row in rows]


def _listed(tx: Tx, query: Any) -> tuple[list[Row[Any]], dict[str, Json]]:
    """The blocks that the tree shows, and the props of the skills among them."""
    rows = tx.all(query.order_by(blocks.c.type, blocks.c.sort))
    bodies = skills.bodies(tx, [row.id for row in rows if row.type == "sop"], listed=True)
    return [row for row in rows if row.type != "sop" or row.id in bodies], bodies


def _tree(tx: Tx, space_id: str, parent_id: str, type: BlockType | None) -> list[Block]:
    rows, bodies = _listed(tx, blocks.select().where(tx.mine(blocks, space_id=space_id)))
    below: dict[str, list[Row[Any]]] = {}
    for row in rows:
        below.setdefault(row.parent_id, []).append(row)

    def grown(row: Row[Any]) -> Block:
        return _block(row, bodies, [grown(child) for child in below.get(row.id, [])])

    return [grown(row) for row in below.get(parent_id, []) if type is None or row.type == type]


def block(tx: Tx, space_id: str, block_id: str) -> Block:
    row = _row(tx, space_id, block_id)
    return _block(row, skills.bodies(tx, [row.id] if row.type == "sop" else []))


def create_block(tx: Tx, block_: Block) -> Block:
    tx.get(spaces, "space", block_.space_id)
    if tx.find(blocks, space_id=block_.space_id, id=block_.id) is not None:
        raise Conflict(f"there is a block {block_.id!r} already: use another id, or change that one")
    _check_place(tx, block_.space_id, block_.type, block_.parent_id)
    if block_.type == "sop":
        skills.create_by_hand(tx, block_)
    insert(tx, block_)
    return block(tx, block_.space_id, block_.id)


def insert(tx: Tx, block_: Block) -> None:
    """Put the block at the end of its siblings."""
    parent_id = block_.parent_id or ""
    props = skills.extra_props(block_.props) if block_.type == "sop" else block_.props
    tx.add(
        blocks,
        [
            {
                "space_id": block_.space_id,
                "id": block_.id,
                "parent_id": parent_id,
                "type": block_.type,
                "title": block_.title,
                "props": dump(props),
                "sort": _end(tx, block_.space_id, parent_id),
                "is_archived": block_.is_archived,
                "created_at": block_.created_at,
                "updated_at": block_.updated_at,
            }
        ],
    )


def _end(tx: Tx, space_id: str, parent_id: str) -> int:
    (highest,) = tx.raw.execute(_HIGHEST, (tx.project_id, space_id, parent_id)).fetchone()
    return 0 if highest is None else int(highest) + 1


_HIGHEST = "SELECT max(sort) FROM blocks WHERE project_id = ? AND space_id = ? AND parent_id = ?"


def page_for(tx: Tx, space_id: str, path: tuple[str, ...]) -> str:
    """The id of the page at the end of `path`; folders on the way, and the page, are made where they are missing."""
    parent_id = ""
    names = [name.replace("/", "_").strip() or "untitled" for name in path] or ["learned"]
    for depth, name in enumerate(names):
        kind: BlockType = "page" if depth == len(names) - 1 else "folder"
        found = tx.find(blocks, space_id=space_id, parent_id=parent_id, title=name, type=kind)
        id = new_id() if found is None else found.id
        if found is None:
            insert(tx, Block(id=id, space_id=space_id, type=kind, title=name, parent_id=parent_id or None))
        parent_id = id
    return parent_id


def update_block(tx: Tx, space_id: str, block_id: str, *, title: str | None, props: Json | None) -> Block:
    row = _row(tx, space_id, block_id)
    values: dict[str, Any] = {"updated_at": now()}
    if row.type == "sop":
        body = skills.change_by_hand(tx, block_id, title=title, props=props)
        values["title"] = body.use_when
        if props is not None:
            values["props"] = dump(skills.extra_props(props))
    else:
        if title is not None:
            values["title"] = visible(title)
        if props is not None:
            values["props"] = dump(props)
    tx.change(blocks, values, space_id=space_id, id=block_id)
    return block(tx, space_id, block_id)


def move_block(tx: Tx, space_id: str, block_id: str, *, parent_id: str | None, sort: int | None) -> Block:
    row = _row(tx, space_id, block_id)
    above = parent_id
    while above is not None:
        if above == block_id:
            raise InvalidInput(f"block {block_id!r} cannot be moved under itself: choose another parent")
        above = _row(tx, space_id, above).parent_id or None
    _check_place(tx, space_id, row.type, parent_id)
    _arrange(tx, space_id, row, parent_id or "", sort)
    return block(tx, space_id, block_id)


def sort_block(tx: Tx, space_id: str, block_id: str, sort: int) -> Block:
    row = _row(tx, space_id, block_id)
    _arrange(tx, space_id, row, row.parent_id, sort)
    return block(tx, space_id, block_id)


def _arrange(tx: Tx, space_id: str, row: Any, parent_id: str, sort: int | None) -> None:
    """Put the block among the children of `parent_id`, and number these, and those it left, from 0."""
    siblings = _children(tx, space_id, parent_id)
    if row.id in siblings:
        siblings.remove(row.id)
    place = len(siblings) if sort is None else min(max(sort, 0), len(siblings))
    siblings.insert(place, row.id)
    tx.change(blocks, {"parent_id": parent_id, "updated_at": now()}, space_id=space_id, id=row.id)
    _number(tx, space_id, siblings)
    if parent_id != row.parent_id:
        _number(tx, space_id, _children(tx, space_id, row.parent_id))


def _children(tx: Tx, space_id: str, parent_id: str) -> list[str]:
    query = (
        select(blocks.c.id)
        .where(tx.mine(blocks, space_id=space_id, parent_id=parent_id))
        .order_by(blocks.c.sort, blocks.c.id)
    )
    return [row.id for row in tx.all(query)]


def _number(tx: Tx, space_id: str, ids: list[str]) -> None:
    for sort, id in enumerate(ids):
        here = tx.mine(blocks, space_id=space_id, id=id) & (blocks.c.sort != sort)
        tx.run(update(blocks).where(here).values(sort=sort))


def delete_block(tx: Tx, space_id: str, block_id: str) -> None:
    row = _row(tx, space_id, block_id)
    doomed = [row.id]
    for parent_id in doomed:  # grows while it is walked
        doomed += _children(tx, space_id, parent_id)
    skills.delete_by_hand(tx, space_id, doomed)
    for id in doomed:
        tx.drop(blocks, space_id=space_id, id=id)
    after = tx.mine(blocks, space_id=space_id, parent_id=row.parent_id) & (blocks.c.sort > row.sort)
    tx.run(update(blocks).where(after).values(sort=blocks.c.sort - 1))
    tx.purged = True


def _check_place(tx: Tx, space_id: str, type: str, parent_id: str | None) -> None:
    parent = "root" if parent_id is None else _row(tx, space_id, parent_id).type
    if type not in _MAY_HOLD[parent]:
        allowed = " or ".join(_MAY_HOLD[parent]) or "nothing"
        raise InvalidInput(f"a {parent} cannot hold a {type}, only {allowed}: choose another parent")


def _row(tx: Tx, space_id: str, block_id: str) -> Any:
    return tx.get(blocks, "block", block_id, space_id=space_id)


def _block(row: Row[Any], bodies: dict[str, Json], children: list[Block] | None = None) -> Block:
    props = load(row.props)
    if row.type == "sop":
        props |= bodies.get(row.id, {})
    return Block.model_construct(
        id=row.id,
        space_id=row.space_id,
        type=row.type,
        title=row.title,
        parent_id=row.parent_id or None,
        props=props,
        sort=row.sort,
        is_archived=bool(row.is_archived),
        children=children,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
