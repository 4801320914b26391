"""What an annotator is: a function from traces to annotations, with a name and a version.

`annotate(traces)` yields, for each trace in order, one annotation per pattern in `patterns`; an annotator that cannot
know abstains with a null label. A model annotator is made by a factory that is handed its engine.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from schemas.annotation import Annotation
from schemas.trace import Trace

Annotate = Callable[[Sequence[Trace]], Iterable[Annotation]]


class Annotator(NamedTuple):
    """A named, versioned judge of traces."""

    name: str
    """"family@version", as it stands in the annotations table."""
    patterns: tuple[str, ...]
    """The patterns and properties it gives a verdict on, for every trace."""
    annotate: Annotate
    """Traces in, annotations out: in trace order, `patterns` order within a trace."""
    parallel: bool = False
    """True if it is cheap to build and bound by one core, so that several processes may each run their own."""
