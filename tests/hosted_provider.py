"""A hosted provider as the tests know it: its words on the wire, and the calls of its own SDK.

`hosted_servers.py` tests each provider's test server by its SDK, and `hosted_contract.py` our
client by the test server. A new provider fills in `Provider` and gets all their tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple


class Said(NamedTuple):
    """An answer as an SDK shows it; ``tokens`` are those of the prompt and the answer."""

    text: str | None
    finish: str
    tokens: int | None
    id: str


class Provider:
    """One provider, in its own words. Errors are patterns that its SDK's messages match.

    A subclass also has the calls of the SDK. The client that ``sdk`` makes is their first argument:

    - ``sdk(server, key=None, retries=0)``: the SDK's client, with the right key if none is given.
    - ``ask(sdk, question, most=9, **changes)``: `Said`, of at most so many tokens.
    - ``models(sdk)``: the ids of all models.
    - ``line(key, question, **changes)``: a line of a job's input, with parameters as for ``ask``.
    - ``create(sdk, lines)``: the id of a new job. A text is a line that is no JSON.
    - ``why_failed(sdk, lines)``: why no job comes of such lines.
    - ``look(sdk, job)``: its state. The test server's job makes one step.
    - ``output(sdk, job)``: the lines of its results.
    - ``row(line)``: the key of such a line, with `Said` or an error; ValueError if it has none.
    - ``listed(sdk, page=20)``: the ids of all jobs, from pages of this length.
    """

    name: str
    make_server: Callable[[], Any]
    model: str

    # How our client speaks to it

    missing_model: str
    """An id near that of a model the server has."""
    key_variable: str
    environment: ClassVar[Mapping[str, str]] = {}
    """What the client reads from the environment besides the key."""
    version: str
    """The path that users may have at the end of their address."""
    says: str
    """What the check says, with the server's {url}."""
    body: ClassVar[Mapping[str, Any]]
    """A request with all decoding parameters."""
    identity: ClassVar[Mapping[str, str]]
    """What of the client's identity is neither its engine nor its model."""
    identities: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    """What is in the identities of other models."""
    thinkers: Sequence[str] = ()
    """Models that think before each answer, if the server has any."""
    create_call: str
    """The call that creates a job."""
    results_call: str
    """A part of the calls that read results."""
    job_id = "{}"
    """The id of a job, with the name that the server has for it."""
    job_path: str
    creates_once = True
    """Whether a job that is created again is the one that is there."""
    counts_the_rest = True
    """Whether requests that a cancelled job has not answered count as failed."""
    broken_file: str
    """How a file is refused whose sixth line is no JSON."""
    lists_before_the_search = 0
    """How often a client asks for the list of jobs before it looks for one in it."""

    # How it shows jobs and errors

    errors: tuple[type[Exception], ...]
    """What the SDK raises."""
    list_path: str
    """Where jobs are listed."""
    life: Sequence[str]
    """What a job that goes well is, each time that one looks at it."""
    working: str
    """The state in which requests are answered."""
    counts_while_running = True
    lives_s = 86_400.0
    """After how many seconds a job has expired."""
    early_ends: ClassVar[Mapping[str, tuple[str, bool, str]]]
    """How a job ends early: its last state, whether it keeps answers, the others' error if any."""
    newest_first = True
    longest_page: int | None = None
    """Longer pages of a list are refused; None where they are cut."""
    cut_word = "length"
    refusals: Sequence[tuple[Mapping[str, Any], str]]
    """Wrong parameters for `ask`, and how they are refused."""
    faults: ClassVar[Mapping[str, str]]
    """Faults of the server, and how the SDK shows them."""
    wrong_key: str
    wrong_inputs: Sequence[tuple[Sequence[Any], str]]
    """Lines of which no job comes, and why."""
    wrong_row: ClassVar[Mapping[str, Any]]
    """Parameters that a job takes, but refuses for their row alone."""
    row_errors: tuple[Any, Any]
    """The errors of such a row, and of one that met a fault."""

    # As OpenAI's SDK and its chat completions have it

    def said(self, reply: Any) -> Said:
        """The answer in a reply."""
        (choice,) = reply.choices
        text, tokens = choice.message.content, reply.usage.total_tokens
        return Said(text, choice.finish_reason, tokens, reply.id)

    def shown(self, error: Any) -> str:
        """Status, code and message of an error of the SDK."""
        return str(error)

    def uploads(self, server: Any) -> int:
        """How many files of lines the server has; jobs may take them without a file."""
        return len(server.batches)

    def turns(self, body: Any) -> list[tuple[str, str]]:
        """Who says what in a request, without the system prompt, in the roles of `Message`."""
        said = [(each["role"], each["content"]) for each in body["messages"]]
        return [turn for turn in said if turn[0] != "system"]

    def row_of(self, body: Any) -> Any:
        """What a job has of a request's body."""
        return body
