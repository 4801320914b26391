"""The refusal classifier beside the rules: people's labels and held-out voices by kind of phrasing, the labelled set, tricks, speed.

The people's labels (PyRIT's scorer evaluations) are of answers alone. They count off-topic answers as refused, which no judge of the answer's words can see;
so figures are printed with and without them.
"""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from annotators import catalog
from annotators.benchmark import labelled
from annotators.refusals.examples import load
from annotators.refusals.reading import beyond_reach
from annotators.statistics.intervals import wilson
from schemas.trace import Trace

PEOPLE = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "refusals" / "refusals.jsonl"
RESAMPLES = 2000
Judge = Callable[[Sequence[str]], list[bool | None]]


def judge(name: str) -> Judge:
    """An annotator's label of `answer_refusal` for each answer."""
    annotator = catalog.get(name)

    def labels(answers: Sequence[str]) -> list[bool | None]:
        traces = [
            Trace(trace_id=f"{n:032d}", prompt_id="1" * 32, prompt="?", reasoning="They ask.", answer=answer)
            for n, answer in enumerate(answers)
        ]
        found = [a for a in annotator.annotate(traces) if getattr(a, "pattern", "") == "answer_refusal"]
        return [a.label for a in found]  # type: ignore[union-attr]

    return labels


def f1(pairs: Sequence[tuple[bool, bool]]) -> float:
    """F1 of (truth, label) pairs."""
    hits = sum(truth and label for truth, label in pairs)
    said = sum(truth + label for truth, label in pairs)
    return 2 * hits / said if said else 0.0


def figures(truths: Sequence[bool], labels: Sequence[bool | None]) -> dict[str, object]:
    """Precision, recall and false refusals with Wilson intervals, F1 with a bootstrap's; an abstention counts as "does not refuse"."""
    pairs = [(truth, bool(label)) for truth, label in zip(truths, labels, strict=True)]
    hits, said, true = sum(t and s for t, s in pairs), sum(s for _, s in pairs), sum(t for t, _ in pairs)
    chance = Random(0)
    drawn = sorted(f1(chance.choices(pairs, k=len(pairs))) for _ in range(RESAMPLES))
    return {
        "n": len(pairs),
        "abstained": sum(label is None for label in labels),
        "precision": _rate(hits, said),
        "recall": _rate(hits, true),
        "false refusals": _rate(said - hits, len(pairs) - true),
        "f1": [round(f1(pairs), 3), round(drawn[RESAMPLES // 40], 3), round(drawn[-RESAMPLES // 40], 3)],
    }


def _rate(k: int, n: int) -> list[float] | None:
    return [round(k / n, 3), *(round(end, 3) for end in wilson(k, n))] if n else None


def by_phrasing(rows: Sequence[tuple[str, bool]], labels: Sequence[bool | None]) -> dict[str, str]:
    """Right labels of each kind of phrasing, with a Wilson interval; rows are kinds with what is true."""
    found = {}
    for kind in dict.fromkeys(kind for kind, _ in rows):
        right = [
            truth == bool(label) for (one, truth), label in zip(rows, labels, strict=True) if one == kind
        ]
        _, low, high = _rate(sum(right), len(right)) or (0, 0, 0)
        found[kind] = f"{sum(right)} of {len(right)} [{low:.2f}, {high:.2f}]"
    return found


def phrasing(source: str) -> str:
    """What the outside set says of an answer's kind ("...; class=KIND"); "other" where it says nothing."""
    return source.partition("class=")[2].strip() or "other"


def of_labelled_set(labels: Judge) -> dict[str, object]:
    """Answers of the labelled set's test half: verse, roles, scenes, refusals with a turn to something else."""
    items = [item for item in labelled.load("test") if not beyond_reach(item.trace.answer)]
    return figures(
        [item.labels["answer_refusal"] for item in items], labels([item.trace.answer for item in items])
    )


def main() -> dict[str, object]:
    """Measure, print, and return the figures."""
    held = load("held_out")
    voices = {
        name: [a for a in held if a.voice == name] for name in ("other_voice", "fresh_voice", "many_voices")
    }
    tricks = [answer for answer in held if answer.voice == "tricks"]
    people = [json.loads(line) for line in PEOPLE.read_text("utf-8").splitlines()] if PEOPLE.is_file() else []
    if not people:
        print(f"{PEOPLE} is not here: people's labels are left out")
    found: dict[str, object] = {}
    for name in ("refusals", "rules"):
        labels = judge(name)
        labels([answer.text for answer in tricks])  # loads what has to be loaded
        start = time.process_time()
        of_voices = {key: labels([answer.text for answer in voice]) for key, voice in voices.items()}
        taken = (time.process_time() - start) / sum(map(len, voices.values())) * 1000
        said = labels([answer.text for answer in tricks])
        own: dict[str, object] = {"labelled set, test half, English": of_labelled_set(labels)}
        for key, voice in voices.items():
            own[key] = figures([answer.refuses for answer in voice], of_voices[key])
            own[f"{key} by kind of phrasing, right"] = by_phrasing(
                [(a.phrasing, a.refuses) for a in voice], of_voices[key]
            )
        own |= {
            "tricks, right of 40": sum(a.refuses == s for a, s in zip(tricks, said, strict=True)),
            "CPU seconds per 1,000 answers": round(taken, 2),
        }
        if people:
            of_people = labels([row["answer"] for row in people])
            rows = list(zip(people, of_people, strict=True))
            on_topic = [(row, label) for row, label in rows if "off_topic" not in row["source"]]
            own["people's labels by kind of phrasing, right"] = by_phrasing(
                [(phrasing(row["source"]), row["refused"]) for row in people], of_people
            )
            own["people's labels"] = figures([row["refused"] for row, _ in rows], of_people)
            own["people's labels, on topic"] = figures(
                [row["refused"] for row, _ in on_topic], [label for _, label in on_topic]
            )
        found[name] = own
        print(f"{name}: {json.dumps(own, indent=1)}")
    return found
