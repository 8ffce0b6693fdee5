"""The files of this stage: costs.json, local_costs.json and audit.json, one class each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pydantic import Field

from ..backends.prices import Quote
from ..core.records import Record
from ..telemetry.summary import Latency, Telemetry


class Tokens(Record):
    """Tokens of one kind: those that the engine counted, and those that were estimated."""

    engine: int = 0
    estimate: int = 0

    @property
    def total(self) -> int:
        """Both together."""
        return self.engine + self.estimate


class RewritingCosts(Record):
    """What the rewriting of questions for an arm took, in full, also where arms share it.

    ``name``: the model, its backend and the task; equal names are the same requests.
    """

    name: str
    requests: int = 0
    answers: int = 0
    prompt_tokens: Tokens = Tokens()
    completion_tokens: Tokens = Tokens()
    total_latency_s: float | None = None
    cost_usd: float | None = None

    @property
    def total_tokens(self) -> int:
        """Prompt and completion tokens together."""
        return self.prompt_tokens.total + self.completion_tokens.total


class ArmCosts(Record):
    """What the answers of one arm cost; without a price ``None``, and the note says why.

    ``answers`` are the different ones: of equal requests one is sent and paid for. Those are told
    by their requests' digests; ``unidentified`` answers, of versions before 0.2, have none and
    count one by one. What requests without an answer may have cost is in the ledger alone.
    ``rewritings`` of its questions are in ``cost_usd`` too, and in no other number.
    """

    model: str = ""
    price: Quote | None = None
    note: str | None = None
    requests: int = 0
    answers: int = 0
    unidentified: int = 0
    from_batch_jobs: int = 0
    prompt_tokens: Tokens = Tokens()
    completion_tokens: Tokens = Tokens()
    cached_tokens: int | None = None
    estimated_by: str | None = None
    cost_usd: float | None = None
    rewritings: list[RewritingCosts] = Field(default_factory=list, exclude_if=lambda of: not of)

    def rewriting(self, resource: str) -> float | None:
        """What the rewriting of its questions used of a resource; ``None`` is unknown."""
        used = [getattr(each, resource) for each in self.rewritings]
        return None if None in used else sum(used)


class Paid(Record):
    """What the whole experiment has paid or may have paid, in US dollars; the ledger's `Spent`."""

    paid_usd: float = 0.0
    reserved_usd: float = 0.0
    lost_usd: float = 0.0


class EmbedderCosts(Record):
    """What one embedder's vectors of chunks and questions cost the whole experiment.

    From the ledger: ``texts`` that were sent, and their ``tokens`` as the provider counted them.
    Texts whose vectors were kept cost nothing. ``lost_usd`` is the most that requests without an
    answer may have cost. Without a price the costs are ``None``, and the note says what to do.
    """

    embedder: str
    model: str
    price: Quote | None = None
    note: str | None = None
    texts: int = 0
    tokens: int = 0
    paid_usd: float | None = None
    lost_usd: float | None = None


class Costs(Record):
    """costs.json. ``experiment``: what all trials together had paid when it was written.

    ``cost_usd`` is of all arms; a rewriting that they share counts once. ``embedders`` that find
    passages for the trial may have been paid for others too, because the vectors of a corpus are
    made once.
    """

    schema_version: int = 2
    by_condition: dict[str, ArmCosts]
    cost_usd: float | None = None
    embedders: list[EmbedderCosts] = Field(default_factory=list, exclude_if=lambda of: not of)
    experiment: Paid = Paid()

    def of(self, condition: str) -> ArmCosts:
        """One arm; nothing is known of one that is not in the file."""
        return self.by_condition.get(condition, ArmCosts())

    def usd_of(self, conditions: Iterable[str]) -> float | None:
        """Return what some arms cost together; a rewriting that they share counts once.

        ``None``: the price of one of them is not known.
        """
        arms = [self.of(condition) for condition in conditions]
        paid = [arm.cost_usd for arm in arms]
        known = [usd for usd in paid if usd is not None]
        if len(known) < len(paid):
            return None
        shared = [each.cost_usd or 0.0 for arm in arms for each in arm.rewritings]
        once = {each.name: each.cost_usd or 0.0 for arm in arms for each in arm.rewritings}
        return round(sum(known) - sum(shared) + sum(once.values()), 10)

    @property
    def rewritings(self) -> list[RewritingCosts]:
        """What rewriting took, each once."""
        arms = self.by_condition.values()
        return list({each.name: each for arm in arms for each in arm.rewritings}.values())

    @property
    def prices(self) -> list[tuple[ArmCosts, list[str]]]:
        """Each price once: an arm that pays it, and the conditions of all that do."""
        found: list[tuple[ArmCosts, list[str]]] = []
        for condition, arm in self.by_condition.items():
            for other, conditions in found:
                if (other.model, other.price, other.note) == (arm.model, arm.price, arm.note):
                    conditions.append(condition)
                    break
            else:
                found.append((arm, [condition]))
        return found

    @property
    def is_free(self) -> bool:
        """Whether all arms cost nothing."""
        return all(arm.price and arm.price.is_free for arm in self.by_condition.values())

    @property
    def estimated_by(self) -> set[str]:
        """How tokens were estimated that the engine did not count."""
        return {arm.estimated_by for arm in self.by_condition.values() if arm.estimated_by}


class EmbedderPlan(Record):
    """What one embedder is still to embed, of ``texts`` that differ.

    ``kept``: vectors that are there already; ``None``: who answers is not known now, and all count
    as missing. ``tokens`` are estimated from bytes. ``cost_usd`` is expected, and ``at_most_usd``
    takes each byte for a token; ``None`` without a price.
    """

    embedder: str
    model: str
    price: Quote | None = None
    notes: list[str] = Field(default_factory=list)
    texts: int = 0
    kept: int | None = 0
    chunks: int = 0
    questions: int = 0
    tokens: int = 0
    cost_usd: float | None = None
    at_most_usd: float | None = None


class EmbeddingsPlan(Record):
    """embeddings.json: the embedders that cost something, before anything is embedded."""

    schema_version: int = 1
    embedders: list[EmbedderPlan]

    @property
    def waiting(self) -> set[str]:
        """The embedders that are still to embed something."""
        return {each.embedder for each in self.embedders if each.chunks + each.questions}


class ArmTimes(Record):
    """Tokens and times of one arm.

    Token sums are ``None`` if the engine reported none. ``thought_tokens`` are part of
    ``completion_tokens``. ``cut_while_thinking`` are empty answers whose limit thoughts used
    up. ``latency_s`` is ``None`` for answers of batch jobs. ``requests_at_once`` is how many
    were in flight on average when a request was sent: with more of them, latency includes
    waiting for the others. ``telemetry`` is there where it is turned on and the model runs on
    this machine.
    """

    requests: int = 0
    failed: int = 0
    truncated: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    thought_tokens: int | None = Field(None, exclude_if=lambda count: count is None)
    cut_while_thinking: int = Field(0, exclude_if=lambda count: not count)
    latency_s: Latency | None = None
    requests_at_once: float | None = None
    total_latency_s: float | None = None
    telemetry: Telemetry | None = Field(None, exclude_if=lambda measured: measured is None)

    @property
    def tokens_per_request(self) -> float | None:
        """Prompt and completion tokens of one request on average."""
        if self.total_tokens is None or not self.requests:
            return None
        return self.total_tokens / self.requests


class LocalCosts(Record):
    """local_costs.json."""

    schema_version: int = 1
    by_condition: dict[str, ArmTimes]

    def of(self, condition: str) -> ArmTimes:
        """One arm; nothing is known of one that is not in the file."""
        return self.by_condition.get(condition, ArmTimes())

    @property
    def at_once(self) -> float | None:
        """The most requests of an arm that were in flight together, on average; if more than 1."""
        arms = self.by_condition.values()
        most = max((arm.requests_at_once or 0 for arm in arms), default=0)
        return most if most > 1 else None

    @property
    def measured(self) -> dict[str, Telemetry]:
        """What was measured while the arms were answered, by condition."""
        arms = self.by_condition.items()
        return {condition: arm.telemetry for condition, arm in arms if arm.telemetry is not None}


class PromptTokens(Record):
    """Lengths of the prompts of one arm, in tokens."""

    mean: float
    p50: float
    p95: float
    max: int


class ArmAudit(Record):
    """Lengths of one arm's system prompt and whole prompts, in tokens."""

    system_tokens: int
    prompt_tokens: PromptTokens


class ArmContext(Record):
    """What measured the prompts of one arm, and how many of them did not fit its context."""

    tokenizer: str | None = None
    n_ctx: int | None = None
    exceeds_context: int | None = None


class Audit(Record):
    """audit.json: ``prompts[task][condition]``; nothing is known without a tokenizer."""

    schema_version: int = 2
    arms: dict[str, ArmContext]
    prompts: dict[str, dict[str, ArmAudit]]

    @property
    def contexts(self) -> list[ArmContext]:
        """Each tokenizer with its context, and all prompts of its arms that did not fit."""
        found: Counter[tuple[str, int | None]] = Counter()
        for arm in self.arms.values():
            if arm.tokenizer is not None:
                found[arm.tokenizer, arm.n_ctx] += arm.exceeds_context or 0
        return [
            ArmContext(tokenizer=tokenizer, n_ctx=n_ctx, exceeds_context=count)
            for (tokenizer, n_ctx), count in found.items()
        ]
