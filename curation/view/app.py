"""The pages: a list with search and facets, a trace, two models beside each other. All state is in the address.

Every page is made here from templates; the little script (static/view.js) only moves the focus and presses links.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, urlencode

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from curation.page import render
from curation.report.influential import TOP
from curation.review.form.questions import NONE, VALUE, VERDICTS, title
from curation.view import saving
from curation.view.facets import SINGLE, TITLES
from curation.view.traces import COLOURS, provenance, stretches
from curation.view.workplace import PAGE, Workplace, number, page_of
from schemas.errors import CorpusError, CurateError, DataError

LONGEST_FORM = 20_000
"""Bytes."""
MORE_VALUES, MOST_VALUES = 12, 200
"""Values of a facet that are listed at once, and with those behind a click."""
Query = Mapping[str, Sequence[str]]


def make_app(place: Workplace) -> Starlette:
    """The application, without its guard (`curation.view.guard`)."""
    routes = [
        Route("/", _page(place, list_page)),
        Route("/trace", _page(place, trace_page)),
        Route("/trace", _saving(place), methods=["POST"]),
        Route("/compare", _page(place, compare_page)),
        Route("/pair", _page(place, pair_page)),
        Route("/recipe", _page(place, recipe_page)),
        Route("/influence", _page(place, influence_page)),
        Route("/view.css", _static("view.css", "text/css")),
        Route("/view.js", _static("view.js", "text/javascript")),
    ]
    return Starlette(routes=routes)


def list_page(place: Workplace, query: Query) -> str:
    """Traces that meet the search and the facets of an address, with the counts of every facet."""
    selected = place.select(query)
    return _rendered(
        place,
        "list.html",
        query,
        here="/",
        heading=f"{selected.total:,} of {place.size:,} traces",
        selected=selected,
        fault=selected.fault,
        titles=TITLES,
        more=MORE_VALUES,
        most=MOST_VALUES,
        toggled=lambda facet, value: _toggled(query, facet, value),
    )


def trace_page(place: Workplace, query: Query) -> str:
    """One trace; `id` names it, the rest of the address is the selection that n and p walk through."""
    trace_id = next(iter(query.get("id", ())), "")
    seen, around = place.trace(trace_id), place.around(query, trace_id)
    shown, asked = _shown(query), place.asked(query)
    texts = {
        field: stretches(seen.row[field], seen.evidence[field], shown) for field in ("reasoning", "answer")
    }
    return _rendered(
        place,
        "trace.html",
        query,
        here="/trace",
        heading=f"Trace {trace_id[:12]}",
        seen=seen,
        around=around,
        prompt=stretches(seen.row["prompt"], (), shown),
        turns=[
            turn | {"content": stretches(turn.get("content") or "", (), shown)}
            for turn in seen.row.get("turns") or ()
        ],
        system=stretches(seen.row.get("system") or "", (), shown),
        texts=texts,
        told=provenance(seen, shown),
        mixes=place.taken_by(trace_id),
        mine=next(
            (
                r
                for r in seen.reviews
                if r["reviewer"] == place.reviewer and r["round"] == saving.round_of(asked.codebook)
            ),
            None,
        ),
        asked=asked,
        value=VALUE,
        verdicts=VERDICTS,
        nothing=NONE,
        title_of=title,
        colours=COLOURS,
    )


def compare_page(place: Workplace, query: Query) -> str:
    """Two models, or two values of another facet, prompt by prompt."""
    pairing = place.pairing(query)
    first, page, pages = page_of(query, len(pairing.rows))
    rows = pairing.rows[first : first + PAGE]
    lines = zip(*(place.lines(rows[:, side].tolist(), query) for side in (0, 1)), strict=True)
    return _rendered(
        place,
        "compare.html",
        query,
        here="/compare",
        heading=f"{pairing.left or '(none)'} and {pairing.right or '(none)'}",
        pairing=pairing,
        lines=lines,
        first=first,
        page=page,
        pages=pages,
        single=SINGLE,
        titles=TITLES,
        values=["", *place.facets.by_name[pairing.by].values],
    )


def pair_page(place: Workplace, query: Query) -> str:
    """Both answers to one prompt; `at` is the place of the pair in the comparison, from 0."""
    pairing, shown = place.pairing(query), _shown(query)
    at = number(next(iter(query.get("at", ())), ""), 0)
    if at >= len(pairing.rows):
        raise DataError(f"this comparison has {len(pairing.rows):,} pairs; there is no pair {at + 1:,}")
    both: list[dict[str, Any]] = []
    for name, line in zip(
        (pairing.left, pairing.right), place.lines(pairing.rows[at].tolist(), query), strict=True
    ):
        seen = place.trace(line.trace.trace_id)
        texts = {
            field: stretches(seen.row[field], seen.evidence[field], shown)
            for field in ("reasoning", "answer")
        }
        both.append({"name": name, "seen": seen, "found": line.values["pattern"], **texts})
    return _rendered(
        place,
        "pair.html",
        query,
        here="/pair",
        heading=f"{pairing.left or '(none)'} and {pairing.right or '(none)'}",
        at=at,
        total=len(pairing.rows),
        both=both,
        prompt=stretches(both[0]["seen"].row["prompt"], (), shown),
        colours=COLOURS,
    )


def recipe_page(place: Workplace, query: Query) -> str:
    """The selection as a recipe that can be saved."""
    made = place.recipe(query)
    return _rendered(place, "recipe.html", query, here="/recipe", heading="A recipe", **made._asdict())


def influence_page(place: Workplace, query: Query) -> str:
    """The strongest rows of every behaviour that was attributed."""
    return _rendered(
        place,
        "influence.html",
        query,
        here="/influence",
        heading="Which rows did it",
        behaviours=place.influential(_shown(query)),
        top=TOP,
    )


def _rendered(place: Workplace, template: str, query: Query, **context: Any) -> str:
    return render(
        "curation.view",
        template,
        **context,
        query=query,
        shown=_shown(query),
        link=lambda path, **changes: _link(path, query, changes),
        place=place,
    )


def _page(place: Workplace, make: Callable[[Workplace, Query], str]) -> Callable[[Request], Response]:
    def answer(request: Request) -> Response:
        try:
            return HTMLResponse(make(place, parse_qs(request.url.query, keep_blank_values=True)))
        except CurateError as error:
            return _fault(place, error)

    return answer


def _saving(place: Workplace) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > LONGEST_FORM:
                return HTMLResponse("this form is too long; shorten the note", 413)
        form = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
        return await run_in_threadpool(
            _saved, place, parse_qs(request.url.query, keep_blank_values=True), form
        )

    return answer


def _saved(place: Workplace, query: Query, form: Query) -> Response:
    trace_id = next(iter(query.get("id", ())), "")
    try:
        place.save(trace_id, form, place.asked(query))
        following = place.around(query, trace_id).following if "next" in form.get("action", ()) else None
    except CurateError as error:
        return _fault(place, error)
    return RedirectResponse(_link("/trace", query, {"id": following or trace_id}), 303)


def _fault(place: Workplace, error: CurateError) -> Response:
    page = _rendered(place, "fault.html", {}, here="/", heading="This did not work", message=str(error))
    return HTMLResponse(page, 500 if isinstance(error, CorpusError) else 400)


def _static(name: str, kind: str) -> Callable[[Request], Response]:
    content = (files("curation.view") / "static" / name).read_bytes()
    return lambda request: Response(content, media_type=kind)


def _shown(query: Query) -> bool:
    return "1" in query.get("show", ())


def _link(path: str, query: Query, changes: Mapping[str, Any]) -> str:
    """An address with some of its fields replaced; null or an empty list takes a field away."""
    fields = {name: values for name, values in query.items() if name not in changes and values}
    fields |= {
        name: value if isinstance(value, list) else [str(value)]
        for name, value in changes.items()
        if value not in (None, [])
    }
    return path + (f"?{urlencode(fields, doseq=True)}" if fields else "")


def _toggled(query: Query, facet: str, value: str) -> str:
    chosen = list(query.get(facet, ()))
    changed = [one for one in chosen if one != value] if value in chosen else [*chosen, value]
    return _link("/", query, {facet: changed, "page": None})
