"""What a scenario measured: rows for people, gates for machines."""

from __future__ import annotations

from typing import Any

from attrs import define, field, frozen


@frozen
class Gate:
    """A bound that a figure has to keep."""

    name: str
    value: float
    low: float
    high: float

    @property
    def ok(self) -> bool:
        """Whether it does."""
        return self.low <= self.value <= self.high


@define
class Result:
    """A table, its gates, and the promises that were broken on the way."""

    scenario: str
    about: str
    """What was run, and where the published figures come from."""
    rows: list[dict[str, Any]] = field(factory=list)
    gates: list[Gate] = field(factory=list)
    violations: list[str] = field(factory=list)

    @property
    def ok(self) -> bool:
        """Whether all gates hold and no promise was broken."""
        return not self.violations and all(gate.ok for gate in self.gates)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "scenario": self.scenario,
            "rows": self.rows,
            "gates": [
                {"name": g.name, "value": g.value, "bound": [g.low, g.high], "ok": g.ok}
                for g in self.gates
            ],
            "violations": self.violations,
        }

    def as_text(self) -> str:
        """For people."""
        lines = [f"{self.scenario}: {self.about}", *_table(self.rows)]
        for gate in self.gates:
            verdict = "ok  " if gate.ok else "FAIL"
            bound = f"{gate.low:g} to {gate.high:g}"
            lines.append(f"{verdict} {gate.name}: {gate.value:.4g} (bound: {bound})")
        lines.append(f"violations: {len(self.violations) or 'none'}")
        lines.extend(f"  {violation}" for violation in self.violations)
        return "\n".join(lines)


def _table(rows: list[dict[str, Any]]) -> list[str]:
    """Columns as wide as their widest cell, numbers to the right."""
    if not rows:
        return ["(no rows)"]
    cells = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in cells
    ]


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
