"""`curate decide`: a safer teacher's decision for each prompt, for PreSafe's training (arXiv 2603.17368).

The teacher is the same model without chain of thought (`curate generate --think zero`), whose refusals are labelled by annotators;
or the prompts' kinds; or a classifier trained on either, which gives every prompt a probability.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import orjson

from curation.corpus.bounds import bounded
from curation.corpus.filling import sql_file
from curation.corpus.query import connect, select
from curation.corpus.store import Store, write_file
from curation.corpus.untrusted import check_condition
from schemas.choices import Teacher
from schemas.errors import DataError, RecipeError
from schemas.manifest import Counts


class TeacherDecision(NamedTuple):
    """The teacher's decision for a prompt."""

    prompt_id: str
    text: str
    refused: float
    """Share of its answers that refuse, or a probability; 0 to 1."""


def decide(corpus_dir: Path, teacher: Teacher, where: str = "true") -> list[TeacherDecision]:
    """The teacher's decisions on the prompts of a corpus.

    Args:
        corpus_dir: the corpus.
        teacher: "refusals" (share of a prompt's traces with the property answer_refusal) or "kind" (harmful or not).
        where: SQL condition over `candidates`: the teacher's traces.

    Raises:
        RecipeError: if the condition is not one, or no prompt has a decision.
    """
    connection = connect(Store(corpus_dir))
    check_condition(connection, where)
    query = sql_file("curation.annotate", "decisions.sql", where=where, kind=str(teacher == "kind").lower())
    decided = [
        TeacherDecision(row["prompt_id"], row["text"], row["refused"])
        for row in bounded(connection, lambda: select(connection, query)).to_pylist()
    ]
    if not decided:
        raise RecipeError(
            "no prompt has a decision; first generate with --think zero and annotate, or relax --where, or use --teacher kind"
        )
    return decided


def smooth(decisions: Sequence[TeacherDecision], classifier: Path) -> list[TeacherDecision]:
    """The decisions of a classifier on the same prompts; raises as `safety_classifier` does."""
    from annotators.safety_classifier.model import SafetyClassifier

    likely = SafetyClassifier.open(classifier).probabilities([decision.text for decision in decisions])
    return [one._replace(refused=float(p)) for one, p in zip(decisions, likely, strict=True)]


def write(decisions: Collection[TeacherDecision], path: Path) -> Counts:
    """Write decisions as JSONL: prompt_id and refused, no text."""
    lines = [
        orjson.dumps({"prompt_id": one.prompt_id, "refused": round(one.refused, 6)}) + b"\n"
        for one in decisions
    ]
    write_file(path, b"".join(lines))
    return Counts(rows=len(decisions), kept=len(decisions))


def read(path: Path) -> dict[str, float]:
    """prompt_id -> probability of refusal, from a file that `write` wrote or one like it.

    Raises:
        DataError: naming every invalid line.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); make it with: curate decide") from error
    decisions: dict[str, float] = {}
    faults = []
    for number, line in enumerate(lines, 1):
        try:
            row = orjson.loads(line)
            key, refused = row["prompt_id"], float(row["refused"])
            if not (isinstance(key, str) and 0 <= refused <= 1):
                raise ValueError
            if decisions.setdefault(key, refused) != refused:
                faults.append(f"{path}:{number}: {key} has two decisions; keep one")
        except (ValueError, KeyError, TypeError):
            faults.append(f'{path}:{number}: write {{"prompt_id": "...", "refused": 0 to 1}}')
    if faults:
        raise DataError("\n".join(faults[:20]))
    if not decisions:
        raise DataError(f"{path}: contains no decisions; make it with: curate decide")
    return decisions


def tally(decisions: Sequence[TeacherDecision]) -> dict[str, int]:
    """Number of prompts refused and answered, at a threshold of 0.5."""
    counted = Counter("refused" if decision.refused >= 0.5 else "answered" for decision in decisions)
    return {name: counted[name] for name in ("refused", "answered")}
