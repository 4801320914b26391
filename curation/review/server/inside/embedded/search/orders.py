"""Sort orders as SQL, with Elasticsearch's meaning: records that lack the value come last in both directions, and of
several values the smallest counts upwards and the largest downwards."""

from typing import Any

from argilla_server.enums import QuestionType, RecordSortField, SortOrder
from argilla_server.models import Record, Response, Suggestion
from argilla_server.search_engine.base import (
    MetadataFilterScope,
    RecordFilterScope,
    ResponseFilterScope,
    SuggestionFilterScope,
)
from sqlalchemy import String, func, select, true, type_coerce

from embedded.search.filters import Questions, responses_of, suggested_property
from embedded.search.values import each, member


def order_by(order: Any, questions: Questions) -> Any:
    """A sort order as an SQL expression over Record."""
    descending = order.order == SortOrder.desc
    value = _value(order.scope, questions, func.max if descending else func.min)
    return (value.desc() if descending else value.asc()).nulls_last()


def _value(scope: Any, questions: Questions, pick: Any) -> Any:
    if isinstance(scope, RecordFilterScope):
        column = getattr(Record, str(scope.property))
        return (
            type_coerce(column, String)
            if scope.property in (RecordSortField.id, RecordSortField.status)
            else column
        )
    if isinstance(scope, MetadataFilterScope):
        members = each(Record.metadata_, scope.metadata_property)
        return select(pick(members.c.value)).select_from(members).scalar_subquery()
    if isinstance(scope, SuggestionFilterScope) and scope.question in questions:
        return _suggested(scope, questions[scope.question], pick)
    if isinstance(scope, ResponseFilterScope) and (scope.question is None or scope.question in questions):
        return _answered(scope, questions, pick)
    raise ValueError(f"cannot sort by {scope}")


def _suggested(scope: Any, question: Any, pick: Any) -> Any:
    name = suggested_property(scope)
    if name in ("agent", "type"):
        subquery = select(pick(type_coerce(getattr(Suggestion, name), String)))
    else:
        members = each(getattr(Suggestion, name))
        value = member(members, question) if name == "value" else members.c.value
        subquery = select(pick(value)).select_from(Suggestion).join(members, true())
    mine = (Suggestion.record_id == Record.id, Suggestion.question_id == question.id)
    return subquery.where(*mine).correlate(Record).scalar_subquery()


def _answered(scope: Any, questions: Questions, pick: Any) -> Any:
    if scope.question is None:
        subquery = select(pick(type_coerce(Response.status, String)))
    else:
        question = questions[scope.question]
        members = each(Response.values, question.name, "value")
        # Ratings are averaged; labels sort by name.
        combine = func.avg if question.settings.get("type") == QuestionType.rating else pick
        subquery = select(combine(member(members, question))).select_from(Response).join(members, true())
    return subquery.where(*responses_of(scope)).correlate(Record).scalar_subquery()
