"""What published data sets say in columns of their own: kinds, attacks and domains, to fields."""

from fnmatch import fnmatchcase
from typing import Any

from curation.ingest import conversations
from curation.ingest.fields import BadRow

STUDY_KINDS = {"safety": "harmful", "harmful": "harmful", "math": "math", "benign": "benign", "code": "code"}
LABELS = {"*harmful": "harmful", "*benign": "benign"}
"""SafeChain's and WildJailbreak's labels, such as vanilla_harmful, adversarial_benign -> kind."""
ADVERSARIAL = "adversarial_*"
DOMAINS = {"math": "math", "code": "code"}
"""OpenThoughts' domains -> kind."""


def unfold_study(fields: dict[str, Any]) -> None:
    """The safety study's `data_type`."""
    data_type = fields.pop("data_type", None)
    if data_type is None:
        return
    if not isinstance(data_type, str) or data_type not in STUDY_KINDS:
        raise BadRow("wrong_type", f"data_type is none of {', '.join(STUDY_KINDS)}")
    fields.setdefault("kind", STUDY_KINDS[data_type])


def unfold_instruction(fields: dict[str, Any]) -> None:
    """A label says the prompt's kind, and whether WildJailbreak's attacks wrap it."""
    for column in ("label", "data_type"):
        label = fields.pop(column, None)
        if not label:
            continue
        kind = next((kind for form, kind in LABELS.items() if fnmatchcase(str(label), form)), None)
        if kind and not fields.get("kind"):
            fields["kind"] = kind
            if fnmatchcase(str(label), ADVERSARIAL):
                fields.setdefault("attack", "WildJailbreak")
        fields.setdefault("beside", {})[column] = label


def unfold_domain(fields: dict[str, Any]) -> None:
    """OpenThoughts' `domain` as category, and as kind where it is one."""
    domain = fields.pop("domain", None)
    if isinstance(domain, str) and domain:
        fields.setdefault("category", domain)
        if kind := DOMAINS.get(domain.lower()):
            fields.setdefault("kind", kind)
    if "conversations" in fields:
        conversations.unfold_conversations(fields)
