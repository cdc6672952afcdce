"""What differs between the rows that are served and those that shall be; knows no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.config import ModelSpec

# What is said of a model; none of it matters to a worker but the price, which answers tell.
LABELS = frozenset({"aliases", "description", "license", "created_at", "properties", "starter"})


@dataclass(frozen=True)
class Changes:
    """Rows by what happens to them: `renamed` differ in labels only and keep their workers."""

    added: tuple[ModelSpec, ...]
    changed: tuple[ModelSpec, ...]
    renamed: tuple[ModelSpec, ...]
    removed: tuple[str, ...]
    unchanged: tuple[str, ...]

    @classmethod
    def between(cls, before: Sequence[ModelSpec], after: Sequence[ModelSpec]) -> Changes:
        """The changes that lead from one list of rows to another."""
        old, new = {spec.name: spec for spec in before}, {spec.name: spec for spec in after}
        kept = [spec for spec in after if spec.name in old]
        changed = [spec for spec in kept if _core(spec) != _core(old[spec.name])]
        return cls(
            added=tuple(spec for spec in after if spec.name not in old),
            changed=tuple(changed),
            renamed=tuple(spec for spec in kept if spec != old[spec.name] and spec not in changed),
            removed=tuple(name for name in old if name not in new),
            unchanged=tuple(spec.name for spec in kept if spec == old[spec.name]),
        )

    @property
    def to_build(self) -> tuple[ModelSpec, ...]:
        """The rows that need a model of their own."""
        return self.added + self.changed

    @property
    def replaced(self) -> list[str]:
        """The names of the rows whose workers are replaced."""
        return [spec.name for spec in self.changed]

    def counts(self) -> dict[str, int]:
        """How many rows each thing happened to."""
        return {
            "added": len(self.added),
            "changed": len(self.changed) + len(self.renamed),
            "removed": len(self.removed),
            "unchanged": len(self.unchanged),
        }


def _core(spec: ModelSpec) -> dict[str, object]:
    return spec.model_dump(exclude=set(LABELS)) | {"price": spec.properties.price}
