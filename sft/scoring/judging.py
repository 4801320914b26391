"""Who judges the replies: the rules always, the embedded refusal classifier before them, and before both the best judge that is configured."""

from collections import Counter
from collections.abc import Iterable, Sequence

from annotators import catalog
from annotators.any_kind import FAMILY, SCOPED
from annotators.base import Annotator
from annotators.statistics.agreement import cohen
from curation import console
from curation.annotate.stage import AnnotateRecipe
from curation.corpus.filling import sql_file
from curation.corpus.query import Connection, select
from curation.recipe import from_arguments
from schemas.codebooks import Pattern
from schemas.errors import DataError, EngineError, MissingExtraError, UsageError
from sft.scoring.asked import AskedSuite
from sft.scoring.suite_files import SuiteFile
from sft.scoring.suites import JudgeAgreement, measures_of

RULES = ("rules", "overrefusal")
"""Those that judge in any case."""
CLASSIFIER = "refusals"
"""The embedded judge of refusals that is better than the rules (docs/decisions/0013-a-refusal-reader.md)."""
ANY_MODEL = ("guard:strongreject", "guard:xstest")
"""Judges that any chat model can be: of harmful and of benign prompts."""


def usual() -> tuple[str, ...]:
    """Those that judge where nothing else is said: the rules, and for refusals the classifier where it can be loaded."""
    try:
        catalog.get(CLASSIFIER)
    except (MissingExtraError, EngineError, DataError) as error:
        console.say(
            f"score: refusals are judged by the rules, since the better classifier is not here: {error}"
        )
        return RULES
    return (*RULES, CLASSIFIER)


def is_classifier(annotator: str) -> bool:
    """Whether an annotator is a classifier of refusals: the shipped one or one of somebody's own training."""
    return annotator.partition("@")[0].partition(":")[0] == CLASSIFIER


def counted(opened: Iterable[Annotator]) -> dict[str, list[str]]:
    """Of the classifiers of refusals only those that judge now.

    What another said in an earlier run would otherwise go before the rules of this one, or stand beside its classifier.
    """
    return {CLASSIFIER: [one.name for one in opened if is_classifier(one.name)]}


def recipe(
    annotators: Sequence[str] | None = None,
    judges: Sequence[str] | None = None,
    model: str | None = None,
    url: str | None = None,
) -> AnnotateRecipe:
    """The annotators of `sft score`.

    Args:
        annotators: those that judge in any case, such as rules; null: the usual ones.
        judges: annotators with a model; `ANY_MODEL` if only a model is named.
        model: the judges' model.
        url: its server.

    Raises:
        UsageError: if judges have no model.
    """
    if (judges or url) and not model:
        raise UsageError("--judge needs a model; name it with --judge-model")
    engine = {"model": model, "server": {"base_url": url} if url else None} if model else None
    named = [*(usual() if annotators is None else annotators), *((judges or ANY_MODEL) if model else ())]
    return from_arguments(AnnotateRecipe, None, {"annotators": list(dict.fromkeys(named)), "engine": engine})


PATTERN_JUDGES = ("rules", "embedding", "ensemble", "judge")
"""Families of annotators that label the risky patterns."""


def of_every_kind(judging: AnnotateRecipe, asked: Sequence[AskedSuite]) -> AnnotateRecipe:
    """The same with annotators of patterns for queries of every kind, if a suite asks for them."""
    if not any(asks_every_kind(one.suite) for one in asked):
        return judging
    more = [f"{FAMILY}:{name}" for name in judging.annotators if name.partition(":")[0] in PATTERN_JUDGES]
    return judging.model_copy(update={"annotators": list(dict.fromkeys([*judging.annotators, *more]))})


def measured_patterns(suite: SuiteFile, entries: Iterable[Pattern]) -> set[str]:
    """What the measures of a suite are made of; a joint one also asks whether both replies refuse."""
    measures = measures_of(suite, entries).values()
    refusal = () if suite.joint is None else ("answer_refusal",)
    return {*refusal, *(name for one in measures for name in one.patterns)}


def is_of_every_kind(annotator: str) -> bool:
    """Whether an annotator of a recipe is one of these."""
    return annotator.partition(":")[0] == FAMILY


def asks_every_kind(suite: SuiteFile) -> bool:
    """Whether a suite measures a pattern on queries of a kind that it is not judged on elsewhere."""
    return bool(patterns_of_every_kind(suite))


def patterns_of_every_kind(suite: SuiteFile) -> list[str]:
    """The patterns that a suite measures although its prompts are of other kinds."""
    return [
        name
        for name in suite.measures
        if name in SCOPED and not all(SCOPED[name].applies_to(kind) for kind in suite.kinds)
    ]


def _names(said: Iterable[str | None]) -> set[str]:
    """The annotators of some labels of one reply; those that agreed stand together."""
    return {name for several in said if several for name in several.split(",")}


class Verdicts:
    """Who decided the labels of some replies, and what people say of them; read once for all suites.

    Args:
        connection: of the evaluation corpus.
        ids: of the replies.
        patterns: what is asked about.
    """

    def __init__(self, connection: Connection, ids: Sequence[str], patterns: Sequence[str]) -> None:
        values = {"ids": list(ids), "patterns": list(patterns)}
        rows = select(connection, sql_file("sft.scoring", "judges.sql"), values).to_pylist()
        self._judges = {(row["trace_id"], row["pattern"]): row["provenance"] for row in rows}
        people = select(connection, "select 1 from latest_annotators where rank <= 0 limit 1").num_rows
        query = sql_file("sft.scoring", "people.sql")
        self._people = select(connection, query, values).to_pylist() if people else []

    def judges(self, ids: Sequence[str], patterns: Sequence[str]) -> dict[str, int]:
        """Who decided the labels of some patterns, and of how many of some replies, the busiest first."""
        found = Counter(
            name for key in ids for name in _names(self._judges.get((key, pattern)) for pattern in patterns)
        )
        return dict(sorted(found.items(), key=lambda one: (-one[1], one[0])))

    def agreement(self, ids: Sequence[str], patterns: Sequence[str]) -> list[JudgeAgreement]:
        """How far the judges agree with people, where these labelled the replies."""
        wanted, found = set(ids), []
        for pattern in patterns:
            rows = [row for row in self._people if row["pattern"] == pattern and row["trace_id"] in wanted]
            if pairs := [(row["people"], row["machine"]) for row in rows]:
                kappa, low, high, _ = cohen(pairs)
                same = sum(people == machine for people, machine in pairs)
                found.append(
                    JudgeAgreement(pattern=pattern, n=len(pairs), same=same, kappa=kappa, low=low, high=high)
                )
        return found
