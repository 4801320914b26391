"""The plan of a round: which people review which trace.

Each trace takes the person with the fewest traces so far, then those whom the plan has put together with them the least. So every
beginning of the plan is as balanced as the whole, over people and over pairs: people who work in the round's order share what was
planned, however far they got.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations

Plan = dict[str, tuple[str, ...]]
"""The people of each trace."""


def plan(
    traces: Sequence[str],
    reviewers: Collection[str],
    overlap: int,
    seed: int,
    *,
    fixed: Mapping[str, Collection[str]] | None = None,
    barred: Mapping[str, Collection[str]] | None = None,
    everybody: Collection[str] = (),
) -> Plan:
    """Assign people to traces.

    Args:
        traces: ids, in the order in which they are reviewed.
        reviewers: names.
        overlap: how many people each trace gets; all of them if they are fewer.
        seed: of the order among equals.
        fixed: people that a trace has already, and keeps.
        barred: people that a trace must not get.
        everybody: traces that all of the reviewers get.
    """
    loads: Counter[str] = Counter()
    together: Counter[tuple[str, str]] = Counter()
    made: Plan = {}
    fixed, barred, everybody = fixed or {}, barred or {}, set(everybody)
    for trace in traces:
        people = list(fixed.get(trace, ()))
        free = sorted(set(reviewers) - set(people) - set(barred.get(trace, ())))
        wanted = len(free) if trace in everybody else overlap - len(people)
        for _ in range(min(wanted, len(free))):
            ties = {name: place(f"{seed}:{trace}", name) for name in free}
            chosen = min(free, key=lambda name: (_met(name, people, together), loads[name], ties[name]))
            people.append(chosen)
            free.remove(chosen)
        loads.update(people)
        together.update(combinations(sorted(people), 2))
        made[trace] = tuple(sorted(people))
    return made


def _met(name: str, people: Sequence[str], together: Mapping[tuple[str, str], int]) -> int:
    return sum(together[min(name, other), max(name, other)] for other in people)


def place(seed: str, name: str) -> int:
    """A place in a random order that is always the same for one seed."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest())
