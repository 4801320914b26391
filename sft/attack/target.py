"""The attacked model: asked the attacker's prompts, its answers judged as `sft score` judges them, in a corpus of the attack's own."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from curation.annotate.stage import AnnotateRecipe
from curation.corpus.query import open_tables, select
from curation.corpus.store import Store
from curation.engines import Engine
from schemas.errors import EngineError
from schemas.ids import canonical_json
from schemas.prompt import prompt_id
from sft.attack.attempts import Attempt
from sft.scoring.asked import AskedSuite
from sft.scoring.asking import Asking
from sft.scoring.scores import ScoringResult
from sft.scoring.stage import measure
from sft.scoring.suite_files import SuiteFile

ATTACK, SOURCE = "PAIR", "sft attack"


class AttackGoals(NamedTuple):
    """What an attack is to reach, and how the model is asked."""

    suite: SuiteFile
    asking: Asking
    rows: Mapping[str, dict[str, Any]]
    """Rows of the prompts table by id."""

    @property
    def texts(self) -> dict[str, str]:
        """The queries by id."""
        return {key: row["text"] for key, row in self.rows.items()}


class AttackedModel:
    """Answers the attempts.

    Args:
        engine: its engine.
        corpus: gets prompts, replies and verdicts.
        goals: what the attack is to reach.
        judging: who judges.
    """

    def __init__(self, engine: Engine, corpus: Store, goals: AttackGoals, judging: AnnotateRecipe) -> None:
        self.name = engine.name
        self.scored: ScoringResult | None = None
        """Of all prompts so far."""
        self._engine, self._corpus, self._goals, self._judging = engine, corpus, goals, judging

    def judge(self, attempts: Sequence[Attempt]) -> list[Attempt]:
        """What became of the attempts that are not judged yet.

        Args:
            attempts: all of the attack.

        Raises:
            EngineError: if the model did not answer a prompt; the other answers are in the corpus.
        """
        asked = {prompt_id(one.prompt): one for one in sorted(attempts) if one.prompt is not None}
        if not asked:
            return [one._replace(judged=True) for one in attempts if not one.judged]
        self._add(asked)
        self.scored = self._measured(asked)
        title = next((one.measure for one in attempts if one.measure), self.scored.scores.suites[0].headline)
        replies = {one.prompt_id: one for one in self.scored.outcomes}
        answers = self._answers([one.trace_id for one in replies.values()])
        judged = []
        for one in attempts:
            reply = replies.get(prompt_id(one.prompt)) if one.prompt is not None else None
            label = reply.measures.get(title) if reply else None
            if not one.judged:
                answer = answers[reply.trace_id] if reply else ""
                score = None if label is None else float(label)
                judged.append(one._replace(judged=True, measure=title, score=score, answer=answer))
        return judged

    def _add(self, asked: Mapping[str, Attempt]) -> None:
        known = self._corpus.keys("prompts")
        rows = [self._row(key, one) for key, one in asked.items() if key not in known]
        with self._corpus.writing("prompts"):
            self._corpus.append_rows("prompts", rows)

    def _row(self, key: str, one: Attempt) -> dict[str, Any]:
        goal = self._goals.rows[one.place.goal]
        extra = canonical_json({"query": goal["text"], "goal": one.place.goal}).decode()
        return {
            "prompt_id": key, "text": one.prompt, "kind": "harmful", "source": SOURCE, "attack": ATTACK, "extra": extra,
        }  # fmt: skip

    def _measured(self, asked: Mapping[str, Attempt]) -> ScoringResult:
        rows = [
            {"prompt_id": key, "text": one.prompt, "kind": "harmful"} for key, one in sorted(asked.items())
        ]
        scored = measure(
            self._engine,
            self._corpus,
            [AskedSuite(self._goals.suite, self._goals.asking, rows)],
            None,
            self._judging,
        )
        for reason in scored.failed.values():
            raise EngineError(reason)
        return scored

    def _answers(self, ids: Sequence[str]) -> dict[str, str]:
        query = "select trace_id, answer from traces where list_contains($ids, trace_id)"
        rows = select(open_tables(self._corpus), query, {"ids": list(ids)}).to_pylist()
        return {row["trace_id"]: row["answer"] for row in rows}
