"""Filters as SQL conditions over records, with Elasticsearch's meaning.

Surprises: "pending" means no response at all, a filter on an answer's value ignores the response's status, and terms
arrive as strings whatever they are compared with.
"""

import dataclasses
from typing import Any

from argilla_server.enums import RecordSortField, RecordStatus, ResponseStatus, ResponseStatusFilter
from argilla_server.models import Record, Response, Suggestion
from argilla_server.search_engine.base import (
    AndFilter,
    MetadataFilterScope,
    RangeFilter,
    RecordFilterScope,
    ResponseFilterScope,
    SuggestionFilterScope,
    TermsFilter,
)
from sqlalchemy import String, and_, cast, false, func, literal, not_, or_, select, true, type_coerce

from embedded.search.values import as_datetime, as_members, as_numbers, as_uuids, each, member

Questions = dict[str, Any]
"""A dataset's questions by name."""


def condition(filter: Any, questions: Questions) -> Any:
    """A filter as an SQL condition on Record."""
    if isinstance(filter, AndFilter):
        return and_(true(), *(condition(inner, questions) for inner in filter.filters))
    scope = filter.scope
    if isinstance(scope, RecordFilterScope):
        return _on_record(filter)
    if isinstance(scope, MetadataFilterScope):
        members = each(Record.metadata_, scope.metadata_property)
        return select(literal(1)).select_from(members).where(_matches(members.c.value, filter)).exists()
    if isinstance(scope, SuggestionFilterScope):
        return _on_suggestion(filter, questions)
    if isinstance(scope, ResponseFilterScope) and scope.question:
        return _on_answer(filter, questions)
    if (
        isinstance(scope, ResponseFilterScope)
        and scope.property == "status"
        and isinstance(filter, TermsFilter)
    ):
        return _on_response_status(filter)
    raise ValueError(f"cannot filter by {scope}")


def responses_of(scope: Any) -> list[Any]:
    """Conditions for the responses of a record that a scope looks at: everyone's, or one person's."""
    conditions = [Response.record_id == Record.id]
    if scope.user:
        conditions.append(Response.user_id == scope.user.id)
    return conditions


def suggested_property(scope: Any) -> str:
    """The column of a suggestion that a scope looks at; Argilla passes the text "None" for "not given"."""
    return "value" if scope.property in (None, "None") else str(scope.property)


def _matches(value: Any, filter: Any) -> Any:
    if isinstance(filter, TermsFilter):
        return _is_one_of(value, [str(term) for term in filter.values])
    bounds = [value.is_not(None)]
    if filter.ge is not None:
        bounds.append(value >= filter.ge)
    if filter.le is not None:
        bounds.append(value <= filter.le)
    return and_(*bounds)


def _is_one_of(value: Any, terms: list[str]) -> Any:
    as_text = cast(value, String).in_(terms)
    numbers = as_numbers(terms)
    if not numbers:
        return as_text
    # As text, SQLite's 0.0 may be "0" and 0.051 have fewer digits than Python gives it.
    return or_(as_text, and_(func.typeof(value).in_(("integer", "real")), value.in_(numbers)))


def _on_record(filter: Any) -> Any:
    name = filter.scope.property
    column = getattr(Record, str(name))
    if isinstance(filter, RangeFilter):
        if name in (RecordSortField.inserted_at, RecordSortField.updated_at):
            ge, le = (as_datetime(bound) if bound is not None else None for bound in (filter.ge, filter.le))
            filter = dataclasses.replace(filter, ge=ge, le=le)
        return _matches(column, filter)
    if name == RecordSortField.status:
        return column.in_(as_members(RecordStatus, filter.values))
    if name == RecordSortField.id:
        return column.in_(as_uuids(filter.values))
    if name == RecordSortField.external_id:
        return column.in_([str(value) for value in filter.values])
    return column.in_([moment for moment in map(as_datetime, filter.values) if moment is not None])


def _on_suggestion(filter: Any, questions: Questions) -> Any:
    question = questions.get(filter.scope.question)
    if question is None:
        return false()
    mine = and_(Suggestion.record_id == Record.id, Suggestion.question_id == question.id)
    name = suggested_property(filter.scope)
    if name in ("agent", "type"):
        value = type_coerce(getattr(Suggestion, name), String)
        return select(literal(1)).where(mine, _matches(value, filter)).correlate(Record).exists()
    members = each(getattr(Suggestion, name))
    value = member(members, question) if name == "value" else members.c.value
    subquery = (
        select(literal(1)).select_from(Suggestion).join(members, true()).where(mine, _matches(value, filter))
    )
    return subquery.correlate(Record).exists()


def _on_answer(filter: Any, questions: Questions) -> Any:
    question = questions.get(filter.scope.question)
    if question is None:
        return false()
    members = each(Response.values, question.name, "value")
    subquery = select(literal(1)).select_from(Response).join(members, true())
    return (
        subquery.where(*responses_of(filter.scope), _matches(member(members, question), filter))
        .correlate(Record)
        .exists()
    )


def _on_response_status(filter: Any) -> Any:
    mine = select(literal(1)).where(*responses_of(filter.scope))
    wanted = [str(value) for value in filter.values]
    any_of = []
    if ResponseStatusFilter.pending in wanted:
        any_of.append(not_(mine.correlate(Record).exists()))
    if statuses := as_members(ResponseStatus, wanted):
        any_of.append(mine.where(Response.status.in_(statuses)).correlate(Record).exists())
    return or_(false(), *any_of)
