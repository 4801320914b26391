"""`curate review push --adjudicate NAME`: sends the disputed traces of a round to one person, who sees everybody's opinion.

They are a round of their own, NAME-adjudication; traces that became disputed since are the next one, NAME-adjudication-2.
"""

from pathlib import Path

from curation.corpus.store import Store
from curation.review import ledger, push, rounds
from curation.review.client import Client
from curation.review.planning.disputes import disputes
from curation.review.rounds import RoundRecipe
from schemas.errors import RecipeError
from schemas.manifest import Manifest


def run(corpus_dir: Path, *, round: str, adjudicator: str, client: Client) -> Manifest:
    """Send what is disputed and not decided.

    Raises:
        CorpusError: if the corpus has no such round.
        RecipeError: if nothing is disputed, or what is disputed is with another adjudicator.
        ServerError: if the server does not answer, or the adjudicator has no account there.
    """
    corpus = Store(corpus_dir)
    current = rounds.open_round(corpus, round)
    if current.recipe.adjudicates:
        raise RecipeError(
            f'round "{round}" holds decisions itself; name the round whose disputes are to be decided'
        )
    begun = [name for name in rounds.round_names(corpus) if _adjudicates(corpus, name) == round]
    earlier = [
        name for name in begun if rounds.open_round(corpus, name).tasks
    ]  # the others were killed before they had any
    sent = {task.trace_id for name in earlier for task in rounds.open_round(corpus, name).tasks}
    found = disputes(ledger.load(corpus, current.form), [task.trace_id for task in current.tasks])
    fresh = [dispute for dispute in found if dispute.trace_id not in sent and not dispute.decided]
    if not fresh and not earlier:
        raise RecipeError(
            f'round "{round}": no trace is disputed; pull first: curate review pull --round {round}'
        )
    name = _name(round, len(earlier)) if fresh else _name(round, len(earlier) - 1)
    asked = current.recipe.codebook
    recipe = RoundRecipe(name=name, adjudicates=round, overlap=1, blind=0, codebook=asked)
    return push.run(corpus_dir, recipe, client=client, reviewers=[adjudicator])


def _adjudicates(corpus: Store, name: str) -> str | None:
    return rounds.open_round(corpus, name).recipe.adjudicates


def _name(round: str, earlier: int) -> str:
    return f"{round}-adjudication" + (f"-{earlier + 1}" if earlier else "")
