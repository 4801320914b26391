"""The search engine that Argilla sees, registered as "sqlite" when this module is imported.

One is made per request, so it holds nothing. Its indexing methods do nothing: Argilla's own tables are the index.
"""

import sqlite3
from typing import Any

from argilla_server.enums import MetadataPropertyType, SimilarityOrder
from argilla_server.models import Question, Record, Response
from argilla_server.search_engine.base import (
    FloatMetadataMetrics,
    IntegerMetadataMetrics,
    SearchEngine,
    SearchResponseItem,
    SearchResponses,
    TermsMetrics,
    TextQuery,
)
from sqlalchemy import Float, String, and_, case, false, func, literal, or_, select, true, type_coerce
from sqlalchemy import text as raw_sql

from embedded.search import database, queues, similarity, text
from embedded.search.filters import Questions, condition
from embedded.search.orders import order_by
from embedded.search.values import each

MAX_TERMS = 2**14


class _NothingToIndex(SearchEngine):  # type: ignore[misc]
    """The half of the interface that keeps an index in step."""

    async def create_index(self, dataset: Any) -> None: ...
    async def delete_index(self, dataset: Any) -> None: ...
    async def configure_metadata_property(self, dataset: Any, metadata_property: Any) -> None: ...
    async def configure_index_vectors(self, vector_settings: Any) -> None: ...
    async def index_records(self, dataset: Any, records: Any) -> None: ...
    async def partial_record_update(self, record: Any, **update: Any) -> None: ...
    async def delete_records(self, dataset: Any, records: Any) -> None: ...
    async def update_record_response(self, response: Any) -> None: ...
    async def delete_record_response(self, response: Any) -> None: ...
    async def update_record_suggestion(self, suggestion: Any) -> None: ...
    async def delete_record_suggestion(self, suggestion: Any) -> None: ...


@SearchEngine.register("sqlite")
class SQLiteSearchEngine(_NothingToIndex):
    """Search, progress and metrics over Argilla's SQLite database."""

    @classmethod
    async def new_instance(cls) -> "SQLiteSearchEngine":
        return cls()

    async def close(self) -> None: ...

    async def ping(self) -> bool:
        return bool((await database.rows(raw_sql("SELECT json_valid('{}')")))[0][0])

    async def info(self) -> dict[str, Any]:
        return {"name": "sqlite", "version": {"number": sqlite3.sqlite_version}}

    async def get_dataset_progress(self, dataset: Any) -> dict[str, int]:
        mine = Record.dataset_id == dataset.id
        return await _counts(dataset, select(Record.status, func.count()).where(mine).group_by(Record.status))

    async def get_dataset_user_progress(self, dataset: Any, user: Any) -> dict[str, int]:
        """The person's own responses (Elasticsearch counts everybody's on the records that this person answered)."""
        mine = (Record.dataset_id == dataset.id, Response.user_id == user.id)
        joined = select(Response.status, func.count()).join(Record, Record.id == Response.record_id)
        return await _counts(dataset, joined.where(*mine).group_by(Response.status))

    async def compute_metrics_for(self, metadata_property: Any) -> Any:
        members = each(Record.metadata_, metadata_property.name)
        mine = (Record.dataset_id == metadata_property.dataset_id, members.c.value.is_not(None))
        values = select().select_from(Record).join(members, true()).where(*mine)
        if metadata_property.type == MetadataPropertyType.terms:
            return await _terms(values, members.c.value)
        low, high = (
            await database.rows(values.add_columns(func.min(members.c.value), func.max(members.c.value)))
        )[0]
        whole = metadata_property.type == MetadataPropertyType.integer
        return IntegerMetadataMetrics(min=low, max=high) if whole else FloatMetadataMetrics(min=low, max=high)

    async def search(
        self,
        dataset: Any,
        query: Any = None,
        filter: Any = None,
        sort: Any = None,
        offset: int = 0,
        limit: int = 100,
        user_id: Any = None,  # not in the abstract class, but the "me" endpoint passes it
    ) -> SearchResponses:
        questions = await _questions(dataset)
        conditions, score = _text_conditions(dataset, query)
        conditions.append(Record.dataset_id == dataset.id)
        if filter is not None:
            conditions.append(condition(filter, questions))
        order = [order_by(wish, questions) for wish in sort or []]
        if user_id is not None:
            conditions += await queues.of(user_id)
        if score is None:
            if not order and user_id is not None:
                order = queues.order(user_id)
            found = select(Record.id, literal(None), func.count().over()).where(*conditions)
        else:
            scored = (
                select(Record.id, score.label("score"))
                .where(*conditions)
                .cte("scored")
                .prefix_with("MATERIALIZED")
            )
            found = select(Record.id, scored.c.score, func.count().over()).join(
                scored, scored.c.id == Record.id
            )
            found = found.where(scored.c.score > 0)
            order = order or [scored.c.score.desc()]
        page = (
            found.order_by(*order, Record.inserted_at, raw_sql("records.rowid")).offset(offset).limit(limit)
        )
        rows = await database.rows(page)
        if offset and not rows:  # past the end, where no row carries the total
            first = await self.search(dataset, query, filter, None, 0, 1)
            return SearchResponses(items=[], total=first.total)
        items = [SearchResponseItem(record_id=id, score=hits) for id, hits, _ in rows]
        return SearchResponses(items=items, total=rows[0][2] if rows else 0)

    async def similarity_search(
        self,
        dataset: Any,
        vector_settings: Any,
        value: Any = None,
        record: Any = None,
        query: Any = None,
        filter: Any = None,
        max_results: int = 100,
        order: Any = SimilarityOrder.most_similar,
        threshold: float | None = None,
    ) -> SearchResponses:
        value = value or (record and record.vector_value_by_vector_settings(vector_settings))
        if not value:
            raise ValueError("a similarity search needs a vector, or a record that has one")
        vectors = await similarity.load(vector_settings)
        allowed = await _allowed(dataset, query, filter)
        items: list[SearchResponseItem] = []
        for id, score in similarity.ranked(vectors, value, order == SimilarityOrder.least_similar):
            if (record is not None and id == record.id) or (allowed is not None and id not in allowed):
                continue
            if len(items) >= max_results or (threshold is not None and score < threshold):
                break
            items.append(SearchResponseItem(record_id=id, score=score))
        return SearchResponses(items=items, total=len(items))


async def _counts(dataset: Any, by_status: Any) -> dict[str, int]:
    if dataset.is_draft:
        return {}
    counts = {str(status.value): n for status, n in await database.rows(by_status)}
    return {"total": sum(counts.values()), **counts}


async def _terms(values: Any, value: Any) -> TermsMetrics:
    count = func.count()
    found = await database.rows(
        values.add_columns(value, count).group_by(value).order_by(count.desc(), value)
    )
    terms = [TermsMetrics.TermCount(term=str(term), count=n) for term, n in found[:MAX_TERMS]]
    return TermsMetrics(total=sum(n for _, n in found), values=terms)


async def _allowed(dataset: Any, query: Any, filter: Any) -> set[Any] | None:
    if filter is None and query is None:
        return None
    conditions, score = _text_conditions(dataset, query)
    if score is not None:
        conditions.append(score > 0)
    if filter is not None:
        conditions.append(condition(filter, await _questions(dataset)))
    found = await database.rows(select(Record.id).where(Record.dataset_id == dataset.id, *conditions))
    return {id for (id,) in found}


async def _questions(dataset: Any) -> Questions:
    # dataset.questions is not loaded by the search endpoints, and touching it raises MissingGreenlet
    columns = select(Question.id, Question.name, Question.settings).where(Question.dataset_id == dataset.id)
    return {row.name: row for row in await database.rows(columns)}


def _text_conditions(dataset: Any, query: Any) -> tuple[list[Any], Any]:
    """Conditions for a text query, and the SQL of its score where it has words to look for."""
    if query is None:
        return [], None
    query = TextQuery(q=query) if isinstance(query, str) else query
    if not text.parse(query.q):
        return ([false()] if query.q.strip() else []), None
    names = [
        field.name for field in dataset.fields if not field.is_image and query.field in (None, field.name)
    ]
    if query.field and not names:
        raise ValueError(f"no field {query.field} in dataset {dataset.id}")
    fields = type_coerce(Record.fields, String)
    score = func.text_score(fields, query.q, text.FIELD_SEPARATOR.join(names), type_=Float)
    # CASE fixes the order: the Python function only sees records that the LIKE lets through
    return [], case((_may_match(fields, query.q), score), else_=0.0)


def _may_match(fields: Any, query: str) -> Any:
    alternatives = []
    for pieces in text.required_pieces(query):
        patterns = ("%" + piece.replace("_", r"\_") + "%" for piece in pieces)
        alternatives.append(and_(true(), *(fields.like(pattern, escape="\\") for pattern in patterns)))
    return or_(false(), *alternatives)
