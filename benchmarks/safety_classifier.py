"""The safety classifier on real prompts: quality on jailbreak families that it has not seen, long prompts, speed.

STAR-1's questions and the study's jailbreaks count as refused, XSTest's safe prompts and MATH-500 as answered. No benign prompt
of these wears a jailbreak's template, so a classifier may learn "a template is harm"; the last figure shows how far it does.
"""

import json
import time
from collections import Counter
from collections.abc import Sequence
from os.path import commonprefix
from pathlib import Path

import numpy as np

from annotators.safety_classifier.families import families_of, split
from annotators.safety_classifier.model import Decided, SafetyClassifier
from annotators.safety_classifier.training import fit, quality

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
LONG = 8000
"""Characters of a long prompt."""
SHORT = 400
SEED = 0


def lines(name: str) -> list[dict[str, str]]:
    """Rows of a JSONL file of the shared data."""
    return [json.loads(line) for line in (DATA / name).read_text("utf-8").splitlines()]


def jailbreaks() -> list[str]:
    """The study's jailbreak prompts."""
    return [str(row["prompt"]) for row in json.loads((DATA / "sft_train_nocot.json").read_bytes())]


def decided() -> list[Decided]:
    """All prompts, each once, with the decision that their source implies."""
    refused = jailbreaks() + [row["question"] for row in json.loads((DATA / "star1.json").read_bytes())]
    answered = [row["query"] for row in lines("xstest_safe_150.jsonl")]
    answered += [row["problem"] for row in lines("math500.jsonl")]
    return [Decided(text, 1.0) for text in dict.fromkeys(refused)] + [
        Decided(text, 0.0) for text in dict.fromkeys(answered)
    ]


def speed(classifier: SafetyClassifier, prompts: Sequence[str]) -> float:
    """Prompts per second."""
    start = time.perf_counter()
    classifier.probabilities(prompts)
    return len(prompts) / (time.perf_counter() - start)


def in_templates(templated: Sequence[Sequence[str]], benign: Sequence[str]) -> list[str]:
    """Benign prompts in the wording that the members of each family share around their request."""
    found = []
    for family in templated:
        head = commonprefix(list(family))  # noqa: RUF071 (of text, as meant)
        tail = commonprefix([text[len(head) :][::-1] for text in family])[::-1]  # noqa: RUF071
        found += [head + text + tail for text in benign]
    return found


def main() -> dict[str, object]:
    """Train once, measure, and return the figures."""
    if not DATA.is_dir():
        print("the shared data is not beside this checkout: nothing measured")
        return {}
    prompts = decided()
    start = time.perf_counter()
    classifier, card = fit(prompts, "kind", seed=SEED)
    seconds = time.perf_counter() - start
    numbers = families_of([one.text for one in prompts])
    test = split(prompts, numbers, SEED)["test"]
    known = set(jailbreaks())
    answered = [one for one in test if not one.refused]
    framed = [one for one in test if one.text in known]
    family = dict(zip((one.text for one in prompts), numbers, strict=True))
    sizes = Counter(family[one.text] for one in framed)
    groups = [[d.text for d in framed if family[d.text] == f] for f, size in sizes.items() if size > 1]
    safe = {row["query"] for row in lines("xstest_safe_150.jsonl")}
    dressed = in_templates(groups, [one.text for one in answered if one.text in safe])
    figures: dict[str, object] = {
        "training_seconds": round(seconds),
        "card": card.model_dump(),
        "jailbreak_families_in_test": len(groups),
        "jailbreaks_against_benign": quality(classifier, framed + answered).model_dump(),
        "plain_harmful_against_benign": quality(
            classifier, [one for one in test if one.text not in known]
        ).model_dump(),
        "long_jailbreaks_found": [
            int((classifier.probabilities(long) >= 0.5).sum())
            if (long := [d.text for d in framed if len(d.text) > LONG])
            else 0,
            sum(len(d.text) > LONG for d in framed),
        ],
        "short_prompts_per_second": round(
            speed(classifier, [d.text for d in prompts if len(d.text) < SHORT])
        ),
        "long_prompts_per_second": round(speed(classifier, [d.text for d in prompts if len(d.text) > LONG])),
        "benign_in_unseen_templates": len(dressed),
        "of_them_called_refused": round(float(np.mean(classifier.probabilities(dressed) >= 0.5)), 3),
    }
    print(json.dumps({"benchmark": "safety_classifier", **figures}))
    return figures


if __name__ == "__main__":
    main()
