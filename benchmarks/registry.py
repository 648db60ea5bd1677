"""What is measured, and how a measurement reads."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.stage import Stage


@dataclass(frozen=True)
class Measured:
    """One figure. ``ratio`` is ``value`` to what ``of`` names, measured in the same minutes; ``target`` is in words."""

    name: str
    value: float
    unit: str
    ratio: float
    of: str
    target: str
    holds: bool
    details: tuple[str, ...] = field(default=())

    def plain(self) -> dict[str, Any]:
        """The figure as it goes into the JSON file."""
        return {
            "name": self.name,
            "value": round(self.value, 1),
            "unit": self.unit,
            "ratio": round(self.ratio, 3),
            "of": self.of,
            "target": self.target,
            "holds": self.holds,
        }


Figure = Callable[["Stage"], Measured]

FIGURES: dict[str, Figure] = {}
"""By name, in the order of declaration. A figure is declared in a module of ``benchmarks.figures``."""


def figure(name: str) -> Callable[[Figure], Figure]:
    """Declare the function below as the measurement of ``name``."""

    def declare(measure: Figure) -> Figure:
        if name in FIGURES:
            raise ValueError(f"figure {name} is declared twice")
        FIGURES[name] = measure
        return measure

    return declare


def load_figures() -> dict[str, Figure]:
    """Import every module of figures; returns FIGURES."""
    package = importlib.import_module("benchmarks.figures")
    for found in pkgutil.iter_modules(package.__path__, "benchmarks.figures."):
        importlib.import_module(found.name)
    return FIGURES
