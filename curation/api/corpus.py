"""A corpus in Python: what the commands do, on one object. Each method is a few lines around the `run` of its stage."""

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.api.mix import Mix
from curation.api.results import QueryResult
from schemas import showing
from schemas.choices import Policy, check_choice
from schemas.errors import RecipeError

if TYPE_CHECKING:
    from curation.corpus.status import Contents
    from schemas.manifest import Manifest

File = str | PathLike[str]
Model = str | Mapping[str, Any]
"""A model's folder or hub name, or the `engine` block of a recipe: {"model": ..., "server": {"base_url": ...}}."""


class Corpus:
    """A corpus folder: prompts, traces, and what was judged of them.

    Args:
        folder: where it is; made where there is none.

    Raises:
        CorpusError: if the folder holds other things, cannot be written, or was written by a newer version.
    """

    def __init__(self, folder: File) -> None:
        from curation.corpus.store import Store

        self.folder = Path(folder)
        Store.create(self.folder)

    def __fspath__(self) -> str:
        return fspath(self.folder)

    def ingest(
        self,
        *files: File,
        format: str = "auto",
        kind: str | None = None,
        map: Mapping[str, str] | None = None,
        source: str | None = None,
        set: str | None = None,
        seed: int = 0,
        constants: Mapping[str, str | int] | None = None,
        filters: Mapping[str, Any] | None = None,
        amend: bool = False,
    ) -> "Manifest":
        """Read prompts, traces or annotations; bad rows are quarantined with file, line and reason.

        Args:
            files: files, folders saved by `datasets`, or hub names (hf:NAME); none for a `set` on the hub.
            format: "auto", or a name that `curate formats` lists.
            kind: what the prompts are for, where a row does not say: harmful, benign, math or code.
            map: field -> column, for files of no known format.
            source: name of the data set; the file's name by default.
            set: a published evaluation set, such as "harmbench".
            seed: shuffles the options of multiple-choice questions.
            constants: field -> the value of every row, such as {"strategy": "improved"}.
            filters: column -> the value, values or {"min": ..., "max": ..., "not": ...} of the rows that are read.
            amend: change rows that are already there where this ingest says otherwise; else `summary["differences"]` lists them.

        Raises:
            RecipeError: naming every setting that is wrong.
            DataError: naming every file that cannot be read, before anything is written.
        """
        from curation.ingest import stage
        from curation.ingest.recipe import IngestRecipe
        from curation.recipe import from_arguments

        given = {
            "format": format,
            "kind": kind,
            "map": dict(map or {}),
            "source": source,
            "set": set,
            "seed": seed,
            "constants": dict(constants or {}),
            "filters": dict(filters or {}),
            "amend": amend,
        }
        return stage.run(
            self.folder, [fspath(file) for file in files], from_arguments(IngestRecipe, None, given)
        )

    def annotate(
        self,
        *annotators: str,
        recipe: File | None = None,
        model: Model | None = None,
        guard_prompt: File | None = None,
        ray_workers: int | None = None,
    ) -> "Manifest":
        """Judge every trace that these annotators have not judged yet.

        Args:
            annotators: rules, embedding, ensemble, judge, guard:FAMILY, a plug-in's name, or module:function.
            recipe: a file with any of these settings; arguments win over it.
            model: the model of those that ask one.
            guard_prompt: file with a guard's published prompt.
            ray_workers: judge on a Ray cluster with so many workers, for annotators without a model.

        Returns:
            The counts; `counts.failed` are traces that were not judged, tried again by the next call.

        Raises:
            RecipeError: if an annotator is unknown, none is named, or its model is missing.
            EngineError: if the model cannot be found.
        """
        from curation.annotate import stage
        from curation.recipe import from_arguments

        given = {"annotators": list(annotators) or None, "engine": _engine(model), "guard_prompt": guard_prompt,
                 "ray_workers": ray_workers}  # fmt: skip
        return stage.run(self.folder, from_arguments(stage.AnnotateRecipe, recipe, given))

    def generate(
        self,
        recipe: File | None = None,
        *,
        model: Model | None = None,
        strategies: Sequence[str] | None = None,
        strategy_files: Sequence[File] | None = None,
        samples: int | None = None,
        think: str | None = None,
        where: str | None = None,
        limit: int | None = None,
        sampling: Mapping[str, Any] | None = None,
    ) -> "Manifest":
        """Have a model answer the prompts; a second call asks only for what is missing.

        Args:
            recipe: a file with any of these settings; arguments win over it.
            model: who answers; strategies with a fixed answer need none.
            strategies: names that `curate strategies` lists.
            strategy_files: strategy files of your own.
            samples: traces per prompt and strategy.
            think: as_is, zero (chain of thought off), less or more.
            where: SQL condition over `prompts`.
            limit: at most this many prompts, drawn by the seed.
            sampling: temperature, top_p, max_new_tokens, seed.

        Raises:
            RecipeError: if a strategy, a condition or the model's settings are wrong.
            EngineError: if the model cannot be loaded.
        """
        from curation.generate import stage
        from curation.recipe import from_arguments

        given = {"engine": _engine(model), "strategies": strategies and list(strategies), "samples": samples,
                 "strategy_files": strategy_files and list(strategy_files), "think": think, "where": where,
                 "limit": limit, "sampling": sampling and dict(sampling)}  # fmt: skip
        return stage.run(self.folder, from_arguments(stage.GenerateRecipe, recipe, given))

    def dedup(
        self,
        methods: Sequence[str] = ("exact", "near"),
        threshold: float = 0.7,
        cosine: float = 0.9,
        ray_workers: int | None = None,
    ) -> "Manifest":
        """Cluster prompts, their bare queries and responses that are alike; nothing is deleted.

        Args:
            methods: exact, near, semantic.
            threshold: least Jaccard similarity of word n-grams of near-duplicates.
            cosine: least cosine similarity of semantic ones.
            ray_workers: read and sketch on a Ray cluster, so many parts at once.

        Raises:
            RecipeError: if a setting is wrong.
            MissingExtraError: if `semantic` is asked for and sentence-transformers is not installed.
        """
        from curation.overlap.dedup import stage
        from curation.recipe import from_arguments

        given = {
            "methods": list(methods),
            "threshold": threshold,
            "cosine": cosine,
            "ray_workers": ray_workers,
        }
        return stage.run(self.folder, from_arguments(stage.DedupRecipe, None, given))

    def decontaminate(
        self,
        registry: File | None = None,
        *,
        against: Mapping[str, str] | None = None,
        only: Sequence[str] = (),
        methods: Sequence[str] = ("ngram13", "ngram8", "near"),
        share: float = 0.7,
        near: float = 0.8,
        cosine: float = 0.9,
    ) -> "Manifest":
        """Find evaluation prompts in prompts, reasoning and answers; mixes reject the traces that hold one.

        Args:
            registry: a YAML file of evaluation sets; the shipped one, on the hub, where neither it nor `against` is given.
            against: name of an evaluation set -> "FILE:COLUMN".
            only: names of the registry to keep.
            methods: ngram13, ngram8, near, semantic.
            share: how much of an evaluation prompt the shared 8-grams must cover.
            near: how much of its words must be there in order.
            cosine: least cosine similarity for `semantic`.

        Raises:
            RecipeError: naming every fault of the registry or of a setting.
            DataError: if an evaluation set cannot be read.
        """
        from curation.ingest.benchmarks import load_registry, read
        from curation.overlap.decontaminate import stage
        from curation.recipe import from_arguments

        given = {"methods": list(methods), "share": share, "near": near, "cosine": cosine}
        named = [f"{name}={place}" for name, place in (against or {}).items()]
        sets = read(load_registry(Path(registry) if registry else None, named, list(only)))
        return stage.run(self.folder, sets, from_arguments(stage.DecontaminateRecipe, None, given))

    def status(self) -> "Contents":
        """Counts per table, kind, strategy, source, pattern verdict, annotator and quarantine reason."""
        from curation.corpus import status

        return status.read(self.folder)

    def sql(self, query: str, consensus: Policy = "ranked") -> QueryResult:
        """The rows of one SELECT over prompts, traces, annotations, quarantine, verdicts and candidates.

        Args:
            query: the SELECT; the corpus is read-only.
            consensus: how verdicts are made where annotators differ: ranked, majority, weighted or dawid_skene.

        Raises:
            RecipeError: if it is not one SELECT, or DuckDB rejects it; or the consensus is unknown.
        """
        from curation.corpus.query import connect
        from curation.corpus.store import Store
        from curation.corpus.untrusted import select_untrusted

        check_choice("consensus", consensus, Policy)
        return QueryResult(select_untrusted(connect(Store(self.folder), policy=consensus), query))

    def candidates(self, where: str = "true", consensus: Policy = "ranked") -> QueryResult:
        """One row per trace with everything that a mix may filter on.

        Args:
            where: SQL condition, such as "kind = 'harmful' and not risky".
            consensus: as in `sql`.

        Raises:
            RecipeError: if the condition is not one boolean expression over `candidates`.
        """
        from curation.corpus.query import connect, select
        from curation.corpus.store import Store
        from curation.corpus.untrusted import check_condition

        check_choice("consensus", consensus, Policy)
        connection = connect(Store(self.folder), policy=consensus)
        check_condition(connection, where)
        return QueryResult(select(connection, f"select * from candidates where ({where}\n)"))

    def build_mix(self, recipe: File, out: File, lock: File | None = None) -> Mix:
        """Assemble a training mix; the same corpus and recipe give the same bytes.

        Args:
            recipe: a recipe file, or the name of a shipped one (`curate recipes`).
            out: the folder of the mix; new, or of an earlier build.
            lock: written at the first build; later builds give the same mix or say what changed.

        Raises:
            RecipeError: naming every fault of the recipe with its line; if too few traces match; if it is a sweep.
            CorpusError: if the output folder holds other things or cannot be written.
        """
        from curation.mix import build
        from curation.mix import lock as locking
        from curation.mix.sweep import find_points

        points = find_points(fspath(recipe))
        if len(points) > 1:
            raise RecipeError(
                f"{recipe}: a sweep of {len(points)} mixes; build them with: curate build-mix {recipe} --out {out}"
            )
        (loaded,) = points.values()
        if lock:
            locking.run(self.folder, loaded, out=Path(out), lock=Path(lock))
        else:
            build.run(self.folder, loaded, out=Path(out))
        return Mix(out, self.folder)

    def __repr__(self) -> str:
        tables = self.status().tables
        counts = ", ".join(
            f"{tables[name]['rows']:,} {name}" for name in ("prompts", "traces", "annotations")
        )
        return f"<Corpus {str(self.folder)!r}: {counts}>"

    def _repr_html_(self) -> str:
        told = self.status()
        rows = [{"table": name, "rows": of["rows"]} for name, of in told.tables.items() if of["rows"]]
        names = ("kinds", "strategies", "verdicts", "annotators", "quarantine")
        return showing.page(
            f"Corpus {self.folder}", {"tables": rows, **{name: getattr(told, name) for name in names}}
        )


def _engine(model: Model | None) -> dict[str, Any] | None:
    return {"model": model} if isinstance(model, str) else dict(model) if model else None
