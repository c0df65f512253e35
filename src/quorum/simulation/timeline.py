"""A run's records as text, line by line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from quorum.simulation.trace import Fate, Flight, Note, Record, Step


def text(records: Iterable[Record]) -> Iterator[str]:
    """One line for each thing that happened, in order: `<` is what came, `>` what was ordered."""
    for record in records:
        match record:
            case Step():
                head = (
                    f"{record.time:10.4f}  {record.node:<3} {record.role.value:<9} "
                    f"t{record.term:<3} c{record.commit:<4} "
                )
                for event in record.events or ("deadline",):
                    yield f"{head} < {event}"
                    head = " " * len(head)
                for effect in record.effects:
                    yield f"{head}   > {effect}"
            case Flight():
                if record.fate is Fate.LOST:
                    where = f"{record.time:10.4f}  {record.node:<3}"
                    yield f"{where} x lost on its way to {record.to}: {record.text}"
            case Note():
                until = "" if record.until is None else f" until {record.until:.4f}"
                yield f"{record.time:10.4f}  {record.node:<3} {record.text}{until}"
