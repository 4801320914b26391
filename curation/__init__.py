"""Curate supervised data that makes large reasoning models safe: a corpus of traces, what was judged of them, and mixes.

    from curation import Corpus
    corpus = Corpus("corpus")
    corpus.ingest("traces.jsonl", kind="harmful")
    corpus.annotate("rules")
    mix = corpus.build_mix("study-improved", out="mixes/improved")

Importing this loads nothing heavy: each method loads what it needs.
"""

from typing import TYPE_CHECKING

from schemas import __version__
from schemas.lazy import lazily

if TYPE_CHECKING:
    from curation.api.corpus import Corpus
    from curation.api.mix import Mix
    from curation.api.results import Explanation, QueryResult

HOMES = {
    "curation.api.corpus": "Corpus",
    "curation.api.mix": "Mix",
    "curation.api.results": "Explanation QueryResult",
}
__getattr__ = lazily(__name__, HOMES)

__all__ = ["Corpus", "Explanation", "Mix", "QueryResult", "__version__"]
