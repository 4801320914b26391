"""The only user of vLLM: an engine in this process, with continuous batching and prefix caching.

Prompts are rendered here and sent as token ids, so what the model sees is the chat template's tokens and nothing else.
The surprise: on a CPU a seed per request kills vLLM's engine, so there one seed serves the whole session.
"""

import atexit
import multiprocessing
import os
import weakref
from collections.abc import Iterator, Sequence
from math import exp
from pathlib import Path
from typing import Any

from annotators.base import Token
from curation import console
from curation.engines.base import Message, Reply, Sampling, UnfitConversation, take_apart
from curation.engines.prompting import Rendered, render
from curation.engines.reaper import take_along
from curation.engines.streaming import Answered, Question, in_order
from curation.engines.weights import fingerprint, load_tokenizer, locate
from curation.hardware import HALF, bind_threads, precision, saved_dtype, tell
from curation.recipe import Recipe
from schemas.choices import Dtype
from schemas.errors import EngineError, require
from schemas.response import CLOSE, OPEN

WINDOW = 1024
"""Requests queued in vLLM: more than it runs at a time, so that it never waits."""


class VllmSettings(Recipe):
    """Settings of vLLM; all others have vLLM's defaults."""

    tensor_parallel: int = 1
    """Number of accelerators one model is split over."""
    quantization: str | None = None
    """A quantisation done while loading, such as "fp8"; quantised checkpoints need no setting."""
    max_model_len: int | None = None
    """Longest prompt and answer together, in tokens; the model's own limit where it is not given."""
    gpu_memory: float = 0.9
    """Share of each accelerator's memory that vLLM may take."""
    max_lora_rank: int = 64
    """Largest rank of an adapter; only where the model is one."""


class VllmEngine:
    """Answers with vLLM in this process."""

    def __init__(self, llm: Any, tokenizer: Any, name: str, adapter: Any = None) -> None:
        self.name = name
        self.llm = llm
        self._tokenizer = tokenizer
        self._adapter = adapter
        self._open, self._close = (tokenizer.convert_tokens_to_ids(tag) for tag in (OPEN, CLOSE))
        self._seeds_requests = llm.llm_engine.vllm_config.device_config.device_type != "cpu"

    @classmethod
    def load(
        cls,
        model: str,
        revision: str | None = None,
        settings: VllmSettings | None = None,
        seed: int = 0,
        dtype: Dtype = "auto",
    ) -> "VllmEngine":
        """Load a model folder (or adapter folder), a run folder of `sft run`, or a hub model.

        Args:
            model: what `locate` takes.
            revision: the commit of a hub model.
            settings: how vLLM runs.
            seed: the session's seed, for sampling on machines that cannot seed single requests.
            dtype: of the weights.

        Raises:
            EngineError: if there is no such model or vLLM cannot load it.
            MissingExtraError: if vLLM is not installed.
        """
        require("vllm")
        settings = settings or VllmSettings()
        weights = locate(model, revision)
        tokenizer = load_tokenizer(weights)
        base = locate(weights.adapter_base) if weights.adapter_base else weights
        adapter = _adapter(str(weights.folder)) if weights.adapter_base else None
        llm = _start(base.folder, settings, seed, dtype, lora=adapter is not None)
        return cls(llm, tokenizer, f"{weights.name}@{fingerprint(weights)}", adapter)

    def chat(self, conversations: Sequence[Sequence[Message]], sampling: Sampling) -> list[Reply]:
        """Answer each conversation, in order."""
        questions = [Question(messages, sampling.seed + i) for i, messages in enumerate(conversations)]
        return in_order(self.stream(questions, sampling), len(questions))

    def stream(self, questions: Sequence[Question], sampling: Sampling) -> Iterator[Answered]:
        """Answer the questions in order of arrival; a prompt that is too long fails alone.

        Raises:
            EngineError: if vLLM's engine dies.
        """
        from vllm.v1.engine.exceptions import EngineDeadError

        engine = self.llm.llm_engine
        running: dict[str, tuple[int, Rendered]] = {}
        waiting = iter(enumerate(questions))
        counted = 0
        try:
            while True:
                yield from self._fill(waiting, running, sampling)
                if not running:
                    return
                outputs = engine.step()
                counted = self._count_tokens(counted)
                for output in outputs:
                    if output.finished:
                        index, prompt = running.pop(output.request_id)
                        yield Answered(index, self._reply(prompt, output.outputs[0]))
        except EngineDeadError as error:
            running.clear()
            raise EngineError(
                f"{self.name}: vLLM's engine died (see its log above); run the same command again to go on"
            ) from error
        finally:
            if running:  # the caller stopped listening
                engine.abort_request(list(running))

    def _count_tokens(self, before: int) -> int:
        """Count what the running replies have grown by since there were `before` tokens of them; returns how many there are."""
        states = self.llm.llm_engine.output_processor.request_states.values()
        now = sum(state.detokenizer.num_output_tokens() for state in states if state.detokenizer)
        console.count_tokens(max(now - before, 0))
        return int(now)

    def _fill(
        self,
        waiting: Iterator[tuple[int, Question]],
        running: dict[str, tuple[int, Rendered]],
        sampling: Sampling,
    ) -> Iterator[Answered]:
        longest = self.llm.llm_engine.model_config.max_model_len
        while len(running) < WINDOW and (following := next(waiting, None)):
            place, question = following
            try:
                prompt = render(
                    self._tokenizer, question.messages, sampling.continues, sampling.chat_template_kwargs
                )
            except UnfitConversation as error:
                yield Answered(place, error)
                continue
            if len(prompt.ids) >= longest:
                yield Answered(
                    place, EngineError(f"{self.name}: prompt longer than the limit of {longest} tokens")
                )
                continue
            request = str(next(self.llm.request_counter))
            self.llm.llm_engine.add_request(
                request,
                {"type": "token", "prompt_token_ids": prompt.ids},
                self._params(question, sampling),
                lora_request=self._adapter,
            )
            running[request] = place, prompt

    def _params(self, question: Question, sampling: Sampling) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        schema = sampling.json_schema
        seeded = self._seeds_requests and sampling.temperature > 0
        return SamplingParams(
            max_tokens=sampling.max_new_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=question.seed if seeded else None,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
            structured_outputs=StructuredOutputsParams(json=schema) if schema else None,
            logprobs=sampling.alternatives or None,
        )

    def _reply(self, prompt: Rendered, output: Any) -> Reply:
        ids = list(output.token_ids)
        finish = str(output.finish_reason)
        if finish == "stop" and ids:
            ids.pop()  # the end-of-turn token
        # Special tokens stay in the text: some tokenizers mark the think tags as special.
        text = self._tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        reply = take_apart(prompt.lead + text, finish, len(prompt.ids), lambda _: 0)
        return self._with_tokens(reply, prompt.lead, ids)._replace(tokens=self._alternatives(output))

    def _alternatives(self, output: Any) -> tuple[Token, ...]:
        told = zip(output.token_ids, output.logprobs or (), strict=False)
        return tuple(
            Token(
                self._tokenizer.decode([chosen]),
                {self._tokenizer.decode([other]): exp(of.logprob) for other, of in others.items()},
            )
            for chosen, others in told
        )

    def _with_tokens(self, reply: Reply, lead: str, ids: list[int]) -> Reply:
        """Count what was generated by its tokens: encoding every reply again would cost as much as all else here."""
        begun = self._count(lead) - 1 if lead.strip() not in ("", OPEN) else 0
        if not reply.answer:
            return reply._replace(reasoning_tokens=begun + len(ids))
        if not reply.reasoning:
            return reply._replace(answer_tokens=len(ids))
        if self._close in ids:
            behind = len(ids) - ids.index(self._close) - 1
            thought = len(ids) - behind - 1
        else:  # closed by the prompt, or a tokenizer that knows no think tags
            behind = self._count(reply.answer)
            thought = max(len(ids) - behind, 0)
        return reply._replace(reasoning_tokens=begun + thought - (ids[0] == self._open), answer_tokens=behind)

    def _count(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False))


def _start(model: Path, settings: VllmSettings, seed: int, dtype: Dtype, lora: bool) -> Any:
    # Results go to stdout, so vLLM's log must not; and nobody asked it to phone home.
    os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    from vllm import LLM
    from vllm.platforms import current_platform

    options: dict[str, Any] = {"quantization": settings.quantization}
    if current_platform.is_cpu():
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
        chosen = precision(dtype, accelerator=False)
        tell(chosen, bind_threads(_parameters(model)))
        options |= {"enforce_eager": True, "dtype": chosen.dtype}
    else:
        options |= {"gpu_memory_utilization": settings.gpu_memory, "dtype": dtype}
    if lora:
        options |= {"enable_lora": True, "max_lora_rank": settings.max_lora_rank}
    others = {child.pid for child in multiprocessing.active_children()}
    try:
        llm = LLM(
            model=str(model),
            seed=seed,
            tensor_parallel_size=settings.tensor_parallel,
            max_model_len=settings.max_model_len,
            enable_prefix_caching=True,
            trust_remote_code=False,
            disable_log_stats=True,
            # Weak models fill JSON with white space for ever, and xgrammar lets control characters into strings.
            structured_outputs_config={"backend": "guidance", "disable_any_whitespace": True},
            **options,
        )
    except (ValueError, RuntimeError, OSError) as error:
        raise EngineError(f"{model}: vLLM cannot load it ({str(error).strip()[-300:]})") from error
    atexit.register(_shut_down, weakref.ref(llm.llm_engine.engine_core))
    started = {child.pid for child in multiprocessing.active_children()} - others
    take_along(pid for pid in started if pid)
    return llm


def _parameters(model: Path) -> int:
    """About how many parameters a model has, by the size of its files and their type."""
    size = sum(file.stat().st_size for file in model.glob("*.safetensors"))
    return size // (2 if saved_dtype(model) in HALF else 4)


def _shut_down(core: Any) -> None:
    """Stop the engine before Python waits for its processes, which without this it may do for ever."""
    if (alive := core()) is not None:
        alive.shutdown()


def _adapter(folder: str) -> Any:
    from vllm.lora.request import LoRARequest

    return LoRARequest("adapter", 1, folder)
