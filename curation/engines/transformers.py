"""An engine on Hugging Face `generate`: slow beside vLLM, but it runs wherever torch does.

Prompts are sorted by length and padded on the left; a reply is handed on as soon as it ends. With sampling, the seed of a batch covers its prompts, so the same
batch gives the same replies; a prompt asked in another batch may be answered otherwise.
"""

import queue
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from curation import console
from curation.engines.base import Message, Reply, Sampling, UnfitConversation, take_apart
from curation.engines.prompting import Rendered, render
from curation.engines.streaming import Answered, Question, in_order, told
from curation.engines.weights import fingerprint, load_model, load_tokenizer, locate
from curation.hardware import precision, saved_dtype, use_threads
from schemas.choices import Dtype
from schemas.ids import content_id

BATCH = 32
"""Conversations answered at once."""


class Watched:
    """Watches a batch while `generate` works on it in a thread: it returns when the longest reply has ended, which may be an hour after the shortest.

    It is a stopping criterion that stops nothing while somebody listens.

    Args:
        width: tokens of the padded prompts.
        stops: the tokens that end a reply.
    """

    def __init__(self, width: int, stops: Collection[int]) -> None:
        self._width, self._stops = width, frozenset(stops)
        self._told: set[int] = set()
        self._given_up = False
        self._queue: queue.SimpleQueue[tuple[int, list[int]] | BaseException | None] = queue.SimpleQueue()

    def __call__(self, input_ids: Any, scores: Any, **others: Any) -> Any:
        """Told the rows so far after each token; says which are to stop beside those that have ended."""
        import torch

        last = input_ids[:, -1].tolist()
        console.count_tokens(len(last) - len(self._told))
        for row, token in enumerate(last):
            if token in self._stops and row not in self._told:
                self._told.add(row)
                self._queue.put((row, input_ids[row, self._width :].tolist()))
        return torch.full((len(last),), self._given_up, dtype=torch.bool, device=input_ids.device)

    def ended(self, generate: Callable[[], Any]) -> Iterator[tuple[int, list[int]]]:
        """Row and tokens of each reply, in the order in which they end; what `generate` raises is raised here."""
        thread = threading.Thread(target=self._run, args=(generate,), daemon=True)
        thread.start()
        try:
            while (found := self._queue.get()) is not None:
                if isinstance(found, BaseException):
                    raise found
                yield found
        finally:
            self._given_up = True
            thread.join()

    def _run(self, generate: Callable[[], Any]) -> None:
        try:
            for row, ids in enumerate(generate()[:, self._width :].tolist()):
                if row not in self._told:
                    self._queue.put((row, ids))
        except BaseException as error:  # noqa: BLE001  raised again where it is waited for
            self._queue.put(error)
        else:
            self._queue.put(None)


class TransformersEngine:
    """Answers with a model in this process, on the accelerator if there is one."""

    def __init__(self, model: Any, tokenizer: Any, name: str) -> None:
        self.name = name
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._stops = self._stop_tokens()

    @classmethod
    def load(cls, model: str, revision: str | None = None, dtype: Dtype = "auto") -> "TransformersEngine":
        """Load a model folder, a run folder of `sft run`, or a hub model; raises as `locate` and `load_model` do."""
        weights = locate(model, revision)
        tokenizer = load_tokenizer(weights)
        import torch

        accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        base = locate(weights.adapter_base) if weights.adapter_base else weights
        chosen = precision(dtype, accelerator is not None, saved_dtype(base.folder))
        loaded = load_model(weights, chosen.dtype).to(accelerator or "cpu")
        if not accelerator:
            use_threads(loaded.num_parameters(), chosen)
        return cls(loaded, tokenizer, f"{weights.name}@{fingerprint(weights)}")

    def chat(self, conversations: Sequence[Sequence[Message]], sampling: Sampling) -> list[Reply]:
        """Answer each conversation, in order."""
        questions = [Question(messages, sampling.seed) for messages in conversations]
        with console.progress("generate", total=len(questions), unit="prompts") as advance:
            return in_order(told(self.stream(questions, sampling), advance), len(questions))

    def stream(self, questions: Sequence[Question], sampling: Sampling) -> Iterator[Answered]:
        """Answer the questions, each reply as soon as it ends; a conversation that the template does not take fails alone."""
        prompts: dict[int, Rendered] = {}
        for place, question in enumerate(questions):
            try:
                prompts[place] = render(
                    self._tokenizer, question.messages, sampling.continues, sampling.chat_template_kwargs
                )
            except UnfitConversation as error:
                yield Answered(place, error)
        by_length = sorted(prompts, key=lambda place: len(prompts[place].ids))
        for start in range(0, len(by_length), BATCH):
            places = by_length[start : start + BATCH]
            seed = content_id([[questions[place].seed, prompts[place].ids] for place in places])
            chosen = [prompts[place] for place in places]
            for at, ids in self._written(chosen, sampling, int(seed[:12], 16)):
                yield Answered(places[at], self._reply(chosen[at], ids))

    def _written(
        self, prompts: Sequence[Rendered], sampling: Sampling, seed: int
    ) -> Iterator[tuple[int, list[int]]]:
        """What the model writes to each prompt of a batch, as soon as that ends."""
        pad = self._stops[0] if self._tokenizer.pad_token_id is None else self._tokenizer.pad_token_id
        width = max(len(ids) for ids, _ in prompts)
        rows = [[pad] * (width - len(ids)) + ids for ids, _ in prompts]
        mask = [[0] * (width - len(ids)) + [1] * len(ids) for ids, _ in prompts]
        watched = Watched(width, self._stops)

        def generate() -> Any:
            import torch

            device = self._model.device
            how: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
            if sampling.temperature > 0:
                how = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}  # fmt: skip
                torch.manual_seed(seed)
            with torch.inference_mode():
                return self._model.generate(
                    input_ids=torch.tensor(rows, device=device),
                    attention_mask=torch.tensor(mask, device=device),
                    max_new_tokens=sampling.max_new_tokens,
                    eos_token_id=list(self._stops),
                    pad_token_id=pad,
                    stopping_criteria=[watched],
                    **how,
                )

        return watched.ended(generate)

    def _reply(self, prompt: Rendered, ids: list[int]) -> Reply:
        end = next((i for i, token in enumerate(ids) if token in self._stops), None)
        # Special tokens stay in the text: some tokenizers mark the think tags as special, and without them the
        # boundary between reasoning and answer would be gone.
        text = self._tokenizer.decode(
            ids[:end], skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        finish = "length" if end is None else "stop"
        return take_apart(prompt.lead + text, finish, len(prompt.ids), self._count)

    def _count(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False))

    def _stop_tokens(self) -> list[int]:
        configured = self._model.generation_config.eos_token_id
        eos_tokens = configured if isinstance(configured, list) else [configured]
        return list(
            dict.fromkeys(token for token in (self._tokenizer.eos_token_id, *eos_tokens) if token is not None)
        )
