"""`curate codebook`: start, check, show and add codebooks.

Adding copies a codebook into the corpus: its entries become columns, and whatever reads the corpus knows them. A changed codebook
needs a higher version, since labels under the old one are not comparable.
"""

import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from curation import console
from curation.codebook.known import Known
from curation.codebook.stored import known
from curation.corpus.candidates import RESERVED
from curation.corpus.query import keywords
from curation.corpus.store import MARKER, Store, write_file
from curation.reading import read_text
from curation.recipe import Lines, load_merged
from schemas.choices import meant
from schemas.codebooks import Codebook, shipped, shipped_names
from schemas.codebooks.shipped import shipped_text
from schemas.errors import RecipeError, UsageError
from schemas.faults import faults
from schemas.ids import canonical_json
from schemas.patterns import BUILT_IN

RULE = re.compile(
    r"^\s*(?:#+\s*)?[-*]?\s*(?:rule|section)?\s*([A-Z]?\d+(?:\.\d+)*)[.):]?\s+(\S.*)$", re.IGNORECASE
)
"""A numbered line of a policy: "2.1 Never ..."."""


def load(path: Path) -> Codebook:
    """Read and check a codebook's file.

    Raises:
        RecipeError: naming every fault with its line.
    """
    data, lines = load_merged(path)
    try:
        codebook = Codebook.model_validate(data)
    except ValidationError as error:
        raise RecipeError(
            "\n".join(lines.error(*fault) for fault in faults(error, Codebook, data))
        ) from error
    if found := _name_faults(codebook, lines):
        raise RecipeError("\n".join(found))
    return codebook


def find(name: str, corpus: Store | None = None) -> Codebook:
    """The codebook of a file, of the corpus, or of the package, in this order.

    Raises:
        UsageError: if there is none; lists those there are.
        RecipeError: if the file is not a codebook.
    """
    if name.endswith((".yaml", ".yml")):
        return load(Path(name))
    added = known(corpus).codebooks if corpus else {}
    if name in added:
        return added[name]
    if name in shipped_names():
        return shipped(name)
    names = [*added, *shipped_names()]
    raise UsageError(
        f"{name}: no such codebook{meant(name, names)}; there are {', '.join(names)}; or name a file that ends in .yaml"
    )


def find_in(name: str, corpus_dir: Path) -> Codebook:
    """As `find`, with the codebooks of a corpus if there is one."""
    return find(name, Store(corpus_dir) if (corpus_dir / MARKER).is_file() else None)


def add(corpus: Store, codebook: Codebook) -> bool:
    """Let a corpus know a codebook; false if it does already.

    Raises:
        RecipeError: if it differs under the same version, is older, or has a name that another codebook of the corpus has.
    """
    if codebook.name in BUILT_IN:
        return False
    if bad := _bad_names(codebook):
        raise RecipeError(
            "\n".join(f"codebook {codebook.name}: {name}: {fault}" for name, fault in bad.items())
        )
    with corpus.writing("codebooks"):
        there = known(corpus)
        before = there.codebooks.get(codebook.name)
        if before and before.codebook_id == codebook.codebook_id:
            return False
        if before and codebook.version <= before.version:
            raise RecipeError(
                f"codebook {codebook.name}: the corpus has version {before.version} and this one differs from it; "
                f"set version: {before.version + 1}, since labels under the old text are not comparable"
            )
        _check_free(codebook, there)
        row = {
            "codebook_id": codebook.codebook_id,
            "codebook": codebook.name,
            "version": codebook.version,
            "text": canonical_json(codebook.plain).decode(),
        }
        corpus.append_rows("codebooks", [row])
    return True


def start(path: Path, like: str = "policy", policy: Path | None = None) -> Path:
    """Write a codebook to begin with.

    Args:
        path: the new file.
        like: the shipped codebook that it is a copy of.
        policy: a text whose numbered lines become the rules of one entry.

    Raises:
        UsageError: if there is no such shipped codebook, or the file is there already.
        RecipeError: if the policy has no numbered rules.
    """
    if path.exists():
        raise UsageError(f"{path}: exists already; name another file")
    if like not in shipped_names():
        raise UsageError(
            f"{like}: no shipped codebook{meant(like, shipped_names())}; there are {', '.join(shipped_names())}"
        )
    name = re.sub(r"[^a-z0-9-]+", "-", path.stem.lower()).strip("-") or "mine"
    text = of_policy(name, read_text(policy), policy) if policy else _renamed(like, name)
    write_file(path, text.encode())
    load(path)
    return path


def of_policy(name: str, text: str, source: Path) -> str:
    """The YAML of a codebook with one entry, which is present where the policy is broken.

    Raises:
        RecipeError: if the text has no numbered rules.
    """
    rules = {found[1]: found[2].strip() for line in text.splitlines() if (found := RULE.match(line))}
    if not rules:
        raise RecipeError(f"{source}: no numbered rules; begin each with its number, such as: 1.2 Never ...")
    entry = {
        "field": "both",
        "definition": "The reasoning or the answer breaks a rule of the policy.",
        "rules": rules,
    }
    column = f"{name.replace('-', '_')}_violation"
    book = {
        "name": name,
        "version": 1,
        "description": "Whether a reply keeps to the policy.",
        "guidance": text,
        "entries": {column: entry},
    }
    return str(yaml.safe_dump(book, sort_keys=False, allow_unicode=True, width=110))


def described(codebook: Codebook) -> dict[str, Any]:
    """A codebook for a person or a script."""
    return {**codebook.plain, "codebook_id": codebook.codebook_id}


def show(said: dict[str, Any]) -> None:
    """Print what `described` says."""
    book = Codebook.model_validate({key: value for key, value in said.items() if key != "codebook_id"})
    console.say(f"codebook {book.name}, version {book.version}: {book.description}")
    rows = [
        {
            "entry": entry.name,
            "field": entry.judged_on,
            "scope": entry.scope if isinstance(entry.scope, str) else ", ".join(entry.scope),
            "values": entry.values,
            "definition": entry.definition,
        }
        for entry in book.entries.values()
    ]
    rows += [
        {
            "entry": name,
            "field": "",
            "scope": "",
            "values": "true, false",
            "definition": f"{one.at_least} or more of {', '.join(one.of)}",
        }
        for name, one in book.combined.items()
    ]
    console.show_rows(list(rows[0]), rows)


def _renamed(like: str, name: str) -> str:
    return re.sub(r"^name: .*$", f"name: {name}", shipped_text(like), count=1, flags=re.MULTILINE)


def _name_faults(codebook: Codebook, lines: Lines) -> list[str]:
    faults = _bad_names(codebook)
    return [
        lines.error(("entries" if name in codebook.entries else "combined", name), fault)
        for name, fault in faults.items()
    ]


def _bad_names(codebook: Codebook) -> dict[str, str]:
    """Names that would mean something else in SQL."""
    if codebook.name in BUILT_IN:
        return {}
    taken = keywords() | RESERVED
    found = {}
    for name in codebook.columns:
        if "_" not in name:
            better = f"{codebook.name.replace('-', '_')}_{name}"
            found[name] = f"a name needs an underscore, such as {better}: so no column of `candidates` has it"
        elif name in taken or name.endswith("_score"):
            found[name] = "this name means something else in SQL conditions; choose another"
    return found


def _check_free(codebook: Codebook, there: Known) -> None:
    for other in there.codebooks.values():
        if other.name != codebook.name and (shared := sorted(set(codebook.columns) & set(other.columns))):
            raise RecipeError(
                f"codebook {codebook.name}: {shared[0]} is also in the codebook {other.name} of this corpus; rename it"
            )
