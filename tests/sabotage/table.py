"""The whole table: every broken rule, by name, in the order of the chapters."""

from __future__ import annotations

from tests.sabotage import elections, membership, reads, replication, sessions, storage
from tests.sabotage.rows import Row

CHAPTERS = (elections, replication, membership, reads, sessions, storage)

ROWS: dict[str, Row] = {
    row.name: row for chapter in CHAPTERS for row in vars(chapter).values() if isinstance(row, Row)
}
