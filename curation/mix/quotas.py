"""The number of rows from each stratum of a part: proportions, ratios, and bounds, in exact arithmetic.

A quota is `weight x level`, clamped to the stratum's bounds, with one level for all strata so that they sum to what is
asked for; fractions go to the largest remainders, ties by name. So the result does not depend on any order.
"""

from collections.abc import Mapping
from fractions import Fraction
from math import floor
from typing import NamedTuple

from curation.mix.recipe import OTHERS, Part

Cell = tuple[str | None, ...]
"""A stratum: the values of the part's `strata` columns, as text."""


class Allotment(NamedTuple):
    """Rows to take from each stratum, and its faults."""

    quotas: dict[Cell, int]
    shortages: list[str]
    """Strata that cannot give what the ratios ask of them."""


class _Bounded(NamedTuple):
    weight: Fraction
    low: int
    high: int


def allot(sizes: Mapping[Cell, int], part: Part) -> Allotment:
    """Divide what a part takes among its strata.

    Args:
        sizes: usable traces in each stratum.
        part: the wish; `take` counts rows, so `repeat` may lift it above the number of traces.
    """
    weights = _weights(sizes, part)
    cells = {cell: size for cell, size in sizes.items() if weights[cell]}
    room = {cell: min(size * part.repeat, part.at_most or size * part.repeat) for cell, size in cells.items()}
    total = _total(sizes, room, weights, part)
    bounded = {
        cell: _Bounded(weights[cell], min(part.at_least or 0, room[cell]), _ceiling(cell, room, total, part))
        for cell in cells
    }
    if sum(each.low for each in bounded.values()) > total:
        need = sum(each.low for each in bounded.values())
        return Allotment(
            {},
            [f"at_least {part.at_least} from each of {len(cells)} strata is {need} rows, more than {total}"],
        )
    wanted = _share(bounded, total)
    short = [
        f"the ratios ask for {wanted[cell]} of {_name(cell)}, which has {room[cell]}"
        for cell in cells
        if wanted[cell] > room[cell]
    ]
    quotas = {cell: min(wanted[cell], room[cell]) for cell in cells}
    return Allotment(quotas | {cell: 0 for cell in sizes if cell not in cells}, short)


def _weights(sizes: Mapping[Cell, int], part: Part) -> dict[Cell, Fraction]:
    """Without ratios a stratum weighs its size; with them, its ratios times its share among strata of equal ratios."""
    places = {column: part.strata.index(column) for column in part.ratios}
    groups: dict[Cell, int] = {}
    for cell, size in sizes.items():
        group = tuple(cell[place] for place in places.values())
        groups[group] = groups.get(group, 0) + size
    weights = {}
    for cell, size in sizes.items():
        weight = Fraction(size, groups[tuple(cell[place] for place in places.values())] if places else 1)
        for column, place in places.items():
            named = part.ratios[column]
            value = "null" if cell[place] is None else str(cell[place])
            weight *= Fraction(str(named.get(value, named.get(OTHERS, 0))))
        weights[cell] = weight
    return weights


def _total(
    sizes: Mapping[Cell, int], room: Mapping[Cell, int], weights: Mapping[Cell, Fraction], part: Part
) -> int:
    if isinstance(part.take, float):
        return min(round(part.take * sum(sizes.values())), sum(room.values()))
    if part.take == "all" and part.ratios and room:
        whole = sum(weights.values())
        return floor(min(room[cell] * whole / weights[cell] for cell in room))
    if part.take == "all":
        return sum(room.values())
    return part.take if part.ratios else min(part.take, sum(room.values()))


def _ceiling(cell: Cell, room: Mapping[Cell, int], total: int, part: Part) -> int:
    """Ratios may ask for more than there is, so that the shortage is seen; proportions cannot."""
    return min(total, part.at_most or total) if part.ratios else room[cell]


def _share(cells: Mapping[Cell, _Bounded], total: int) -> dict[Cell, int]:
    level = _level(list(cells.values()), total)
    exact = {
        cell: max(min(each.weight * level, Fraction(each.high)), Fraction(each.low))
        for cell, each in cells.items()
    }
    quotas = {cell: floor(share) for cell, share in exact.items()}
    by_remainder = sorted(cells, key=lambda cell: (quotas[cell] - exact[cell], _name(cell)))
    for cell in by_remainder[: min(total, sum(each.high for each in cells.values())) - sum(quotas.values())]:
        quotas[cell] += 1
    return quotas


def _level(cells: list[_Bounded], total: int) -> Fraction:
    """The level at which the clamped weights sum to `total` (or all are at their upper bound): it grows in straight
    pieces between the levels at which a stratum meets a bound, so find the piece and solve it."""

    def filled(level: Fraction) -> Fraction:
        return sum(
            (max(min(each.weight * level, Fraction(each.high)), Fraction(each.low)) for each in cells),
            Fraction(0),
        )

    bends = sorted({Fraction(bound) / each.weight for each in cells for bound in (each.low, each.high)})
    left, right = 0, len(bends) - 1
    if not bends or filled(bends[right]) <= total:
        return bends[right] if bends else Fraction(0)
    while right - left > 1:
        middle = (left + right) // 2
        left, right = (middle, right) if filled(bends[middle]) <= total else (left, middle)
    start, slope = filled(bends[left]), filled(bends[right]) - filled(bends[left])
    if not slope:
        return bends[left]
    return bends[left] + (total - start) * (bends[right] - bends[left]) / slope


def _name(cell: Cell) -> str:
    return " / ".join("null" if value is None else value for value in cell)
