"""The risky reasonings of an evaluation corpus that can be put into a model's mouth."""

import re
from itertools import islice

from curation.corpus.bounds import bounded
from curation.corpus.filling import sql_file
from curation.corpus.query import Connection, select
from curation.corpus.untrusted import check_expression
from schemas.errors import RecipeError


def risky_reasonings(connection: Connection, prompt_ids: list[str], where: str, suite: str) -> dict[str, str]:
    """The longest such reasoning of each prompt that has one.

    Args:
        connection: of the evaluation corpus.
        prompt_ids: of the suite's prompts.
        where: SQL condition over `candidates`.
        suite: its name, for errors.

    Raises:
        RecipeError: if the condition is none.
    """
    query = sql_file("sft.scoring.prefill", "reasonings.sql", where=where)
    try:
        check_expression(connection, where)
        rows = bounded(connection, lambda: select(connection, query, {"ids": prompt_ids})).to_pylist()
    except RecipeError as error:
        raise RecipeError(f"suite {suite}: prefill.where: {error}") from error
    return {row["prompt_id"]: row["reasoning"] for row in rows}


def beginning(text: str, words: int) -> str | None:
    """The first words of a text; null if it has fewer."""
    ends = [match.end() for match in islice(re.finditer(r"\S+", text), words)]
    if len(ends) < words:
        return None
    return text[: ends[-1]].lstrip() if ends else ""
