"""Which model and prompt worded a version of a skill, and what there is to tell of how work was last done."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("skill_versions", sa.Column("made_by", sa.Text, nullable=True))
    op.add_column("lanes", sa.Column("note", sa.Text, nullable=True))
