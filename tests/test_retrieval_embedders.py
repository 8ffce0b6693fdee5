"""Embedders with a model against servers, kept vectors, and what they cost."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import ollama
import openai
import pytest
import requests
from encoder_gguf import CONTEXT, write_encoder
from servers.base import running
from servers.embeddings import MODEL, READS, EmbeddingServer, vector_of
from test_retrieval_index import CHUNKS, TEXTS, chunk

from workflow_scripts.backends.ledger import Ledger, SpendingSettings, Spent
from workflow_scripts.backends.prices import Quote, Rates
from workflow_scripts.backends.tokens import TokenizerFile
from workflow_scripts.core.errors import UserError
from workflow_scripts.retrieval import kept as kept_module
from workflow_scripts.retrieval import learned as learned_module
from workflow_scripts.retrieval.chunk import ChunkSettings, chunks
from workflow_scripts.retrieval.embed import embeddings
from workflow_scripts.retrieval.embedders.settings import (
    EmbedderSettings,
    IndexSettings,
    LlamaCppEmbedderSettings,
    OllamaEmbedderSettings,
    OpenAICompatibleEmbedderSettings,
    OpenAIEmbedderSettings,
    index_settings,
)
from workflow_scripts.retrieval.index import open_index, write_index
from workflow_scripts.retrieval.kept import KeptVectors, text_digest
from workflow_scripts.retrieval.settings import ChunkingSettings
from workflow_scripts.retrieval.texts import document
from workflow_scripts.retrieval.vectors import write_embeddings

KINDS = ("openai", "openai_compatible", "ollama")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddingServer]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setattr(learned_module, "_LONGEST_WAIT_S", 0.01)
    with running(EmbeddingServer()) as made:
        yield made


def asking(server: EmbeddingServer, kind: str, **more: Any) -> IndexSettings:
    blocks: dict[str, Callable[..., EmbedderSettings]] = {
        "openai": lambda **given: OpenAIEmbedderSettings(
            kind="openai", local_endpoint=server.url, **given
        ),
        "openai_compatible": lambda **given: OpenAICompatibleEmbedderSettings(
            kind="openai_compatible", base_url=f"{server.url}/v1", **given
        ),
        "ollama": lambda **given: OllamaEmbedderSettings(
            kind="ollama", local_endpoint=server.url, **given
        ),
    }
    return index_settings("e", {"e": blocks[kind](**{"model": MODEL, "batch": 3, **more})})


def sent(server: EmbeddingServer) -> list[str]:
    return [text for text, outcome in server.ledger if outcome == "answered"]


def expected(texts: list[str]) -> np.ndarray:
    return np.array([vector_of(text) for text in texts], np.float32)


def test_the_official_clients_get_the_servers_vectors(server: EmbeddingServer) -> None:
    """So the server is faithful to what the SDKs send and read."""
    texts = list(TEXTS.values())
    client = openai.OpenAI(api_key="k", base_url=f"{server.url}/v1", max_retries=0)
    found = client.embeddings.create(model=MODEL, input=texts)  # sends base64
    vectors = [each.embedding for each in sorted(found.data, key=lambda each: each.index)]
    assert np.allclose(vectors, expected(texts), atol=1e-6)
    assert found.usage.prompt_tokens == sum(len(text.split()) for text in texts)
    with pytest.raises(openai.BadRequestError, match="maximum context length is 16 tokens"):
        client.embeddings.create(model=MODEL, input=["a " * 17])
    assert client.models.retrieve(MODEL).id == MODEL
    local = ollama.Client(server.url)
    assert np.allclose(local.embed(MODEL, texts).embeddings, expected(texts), atol=1e-6)
    with pytest.raises(ollama.ResponseError, match="exceeds the context length"):
        local.embed(MODEL, "a " * 17, truncate=False)


@pytest.mark.parametrize("kind", KINDS)
def test_a_corpus_is_embedded_and_searched(
    server: EmbeddingServer, tmp_path: Path, kind: str
) -> None:
    settings = asking(server, kind, query_prefix="query: ", passage_prefix="passage: ")
    server.vector = lambda text, width: vector_of(text.split(": ", 1)[-1], width)
    made = embeddings(CHUNKS, settings, tmp_path / "kept")
    assert np.allclose(made.vectors, expected(list(TEXTS.values())), atol=1e-6)
    assert all(text.startswith("passage: ") for text in sent(server))
    write_embeddings(tmp_path / "e" / "embeddings.npy", made)
    about = tmp_path / "e" / "index.json"
    write_index(CHUNKS, tmp_path / "e" / "embeddings.npy", settings, about)
    index = open_index(tmp_path / "e", settings, CHUNKS, tmp_path / "kept")
    ((first, *_),) = index.search([TEXTS["ships.md"]], 2)
    index.close()
    assert (CHUNKS[first.row].path, first.score) == ("ships.md", 1.0)
    assert sent(server)[-1] == f"query: {TEXTS['ships.md']}"


FAULTS = ("429", "500", "503", "reset", "half", "half JSON", "empty", "fewer", "twice")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", [*FAULTS, "HTML", "error in 200"])
def test_faults_that_pass_are_tried_again(
    server: EmbeddingServer, tmp_path: Path, kind: str, fault: str
) -> None:
    server.faults = lambda text, tries: fault if tries == 0 else ""
    made = embeddings(CHUNKS[:2], asking(server, kind), tmp_path)
    texts = [each.text for each in CHUNKS[:2]]
    assert np.allclose(made.vectors, expected(texts), atol=1e-6)
    assert sent(server) == texts


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_that_is_too_long_is_named_with_the_limit(
    server: EmbeddingServer, tmp_path: Path, kind: str
) -> None:
    """Nothing is cut in silence, whether the server refuses or cuts."""
    long = chunk("long.md", "word " * READS + "word")
    server.cuts = True
    server.told = {"max_model_len": READS} if kind == "openai_compatible" else {}
    if kind == "openai":
        server.cuts = False
    with pytest.raises(UserError, match=rf"no vector of chunk long.md:0-84: .*{READS} tokens"):
        embeddings([CHUNKS[0], long, CHUNKS[1]], asking(server, kind, max_tokens=READS), tmp_path)
    server.ledger.clear()
    embeddings([*CHUNKS[:2]], asking(server, kind, max_tokens=READS), tmp_path)
    assert CHUNKS[0].text not in sent(server)  # it was kept


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("vector", "message"),
    [
        (lambda text, width: [0.0] * width, "made a zero vector of chunk cookies.py"),
        (
            lambda text, width: vector_of(text, width - ("ships" in text.lower())),
            "made a vector of 7 dimensions of chunk ships.md:0-62, and of 8 before",
        ),
    ],
)
def test_vectors_that_cannot_be_searched_stop(
    server: EmbeddingServer, tmp_path: Path, kind: str, vector: Any, message: str
) -> None:
    server.vector = vector
    chunks = [CHUNKS[0], CHUNKS[4]]
    with pytest.raises(UserError, match=message):
        embeddings(chunks, asking(server, kind, batch=1), tmp_path)


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("openai", {"key": "other"}, "Are OPENAI_API_KEY and the model right"),
        ("openai_compatible", {"told": {"id": "big"}}, "does not serve the model 'small-embed"),
        ("ollama", {"tag": {"name": "big:latest"}}, "Run `ollama pull small-embedder`"),
        ("ollama", {"tag": {"remote_host": "https://ollama.com"}}, "passes each request on"),
        ("ollama", {"shown": {"remote_host": "https://ollama.com"}}, "the embedder's model to a"),
        ("ollama", {"shown": {"capabilities": ["completion"]}}, "makes no embeddings"),
    ],
)
def test_servers_that_cannot_embed(
    server: EmbeddingServer, tmp_path: Path, kind: str, change: dict[str, Any], message: str
) -> None:
    for name, value in change.items():
        setattr(server, name, value)
    with pytest.raises(UserError, match=message):
        embeddings(CHUNKS, asking(server, kind), tmp_path)
    assert not sent(server)


def test_a_changed_chunk_alone_is_embedded_again(server: EmbeddingServer, tmp_path: Path) -> None:
    settings = asking(server, "openai_compatible")
    embeddings(CHUNKS, settings, tmp_path)
    assert len(sent(server)) == len(CHUNKS) - 1  # two have one text
    server.ledger.clear()
    changed = chunk("ships.md", "Ships wait for spring.")
    embeddings([*CHUNKS[:4], changed, *CHUNKS[5:]], settings, tmp_path)
    assert sent(server) == [changed.text]


@pytest.mark.parametrize(
    ("server_changes", "settings_change", "different"),
    [
        ({"digest": "b" * 64}, {}, "model 'aaa.*', now 'bbb"),
        ({"version": "0.34.0"}, {}, "version '0.33.0', now '0.34.0'"),
        ({}, {"max_tokens": READS - 2}, f"num_ctx '{READS}', now '{READS - 2}'"),
        ({}, {"dimensions": 4}, "dimensions 'nothing', now '4'"),
        ({}, {"query_prefix": "q: "}, "query_prefix 'nothing', now 'q: '"),
    ],
)
def test_another_model_version_or_setting_of_ollama_is_another_identity(
    server: EmbeddingServer,
    tmp_path: Path,
    server_changes: dict[str, str],
    settings_change: dict[str, Any],
    different: str,
) -> None:
    settings = asking(server, "ollama")
    write_embeddings(
        tmp_path / "e" / "embeddings.npy", embeddings(CHUNKS, settings, tmp_path / "kept")
    )
    about = tmp_path / "e" / "index.json"
    write_index(CHUNKS, tmp_path / "e" / "embeddings.npy", settings, about)
    for name, value in server_changes.items():
        setattr(server, name, value)
    settings = asking(server, "ollama", **settings_change)
    with pytest.raises(UserError, match=rf"made by another embedder \({different}"):
        open_index(tmp_path / "e", settings, CHUNKS, tmp_path / "kept")
    server.ledger.clear()
    embeddings(CHUNKS, settings, tmp_path / "kept")
    is_new = "query_prefix" not in settings_change  # passages have no query's prefix
    assert len(sent(server)) == (len(CHUNKS) - 1 if is_new else 0)


def test_vectors_of_earlier_versions_of_assay_are_taken_over_once(
    server: EmbeddingServer, tmp_path: Path
) -> None:
    """They had the digest alone in the identity."""
    former = KeptVectors(tmp_path, {"kind": "ollama", "model": "a" * 64})
    texts = list(dict.fromkeys(each.text for each in CHUNKS[:-1]))
    with former.alone():
        former.keep(dict(zip(map(text_digest, texts), expected(texts), strict=True)))
    made = embeddings(CHUNKS, asking(server, "ollama"), tmp_path)
    assert sent(server) == [CHUNKS[-1].text]
    assert np.allclose(made.vectors, expected([each.text for each in CHUNKS]), atol=1e-6)
    (about,) = tmp_path.glob("*/identity.json")
    assert json.loads(about.read_text(encoding="utf-8")) == made.identity
    server.version = "0.34.0"
    embeddings(CHUNKS, asking(server, "ollama"), tmp_path)
    assert sorted(sent(server)) == sorted([CHUNKS[-1].text, *{each.text for each in CHUNKS}])


def _embed(url: str, kept: Path, die_after: int) -> None:
    """Embed in a process that dies at a chosen point of keeping what came."""
    os.environ["OPENAI_API_KEY"] = "sk-secret"
    keep, times = KeptVectors.keep, 0

    def dying(self: KeptVectors, vectors: Any) -> None:
        nonlocal times
        times += 1
        if times == die_after:
            digest, vector = next(iter(vectors.items()))
            keep(self, {digest: vector})
            self._stream.write(b"torn")
            self._stream.flush()
            os._exit(9)
        keep(self, vectors)

    kept_module.KeptVectors.keep = dying
    fake = type("Server", (), {"url": url})()
    embeddings(CHUNKS, asking(fake, "openai", batch=2), kept)


def test_after_kills_only_what_is_not_kept_is_embedded(
    server: EmbeddingServer, tmp_path: Path
) -> None:
    """Of a batch that was answered and not yet kept, one vector was written before the kill."""
    undisturbed = embeddings(CHUNKS, asking(server, "openai", batch=2), tmp_path / "other")
    server.ledger.clear()
    spawn = multiprocessing.get_context("spawn")
    for die_after in (2, 1):
        process = spawn.Process(target=_embed, args=(server.url, tmp_path / "kept", die_after))
        process.start()
        process.join()
        assert process.exitcode == 9
    made = embeddings(CHUNKS, asking(server, "openai", batch=2), tmp_path / "kept")
    assert made.vectors.tobytes() == undisturbed.vectors.tobytes()
    times = server.outcomes("answered")
    texts = set(TEXTS.values())
    assert times.keys() == texts
    assert sum(times.values()) == len(texts) + 2  # the second of each batch that was lost


def test_a_torn_or_damaged_record_is_made_again(tmp_path: Path) -> None:
    kept = KeptVectors(tmp_path, {"kind": "x"})
    digests = [text_digest(str(number)) for number in range(3)]
    vector = np.arange(4, dtype=np.float32)
    with kept.alone():
        kept.keep({digest: vector + row for row, digest in enumerate(digests)})
    (path,) = tmp_path.glob("*/*.vectors")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert kept.find(digests).keys() == set(digests[:2])
    damaged = bytearray(whole)
    damaged[-30] ^= 1
    path.write_bytes(damaged)
    assert kept.find(digests).keys() == set(digests[:2])
    assert kept.find(digests)[digests[1]].tolist() == [1, 2, 3, 4]
    path.write_bytes(whole[:5])
    assert not kept.find(digests)


def spending(folder: Path, budget: float | None) -> SpendingSettings:
    rates = Rates(input_per_million=1_000_000, output_per_million=0)  # a dollar a token
    return SpendingSettings(
        folder=str(folder),
        engine="openai",
        model=MODEL,
        tokenizer=TokenizerFile(path=None, is_own=False),
        quote=Quote(rates=rates, source="test"),
        budget_usd=budget,
    )


def test_vectors_count_in_the_ledger_and_stop_at_the_budget(
    server: EmbeddingServer, tmp_path: Path
) -> None:
    settings, ledger = asking(server, "openai", batch=1), Ledger(tmp_path / "spending")
    server.faults = lambda text, tries: "half" if tries == 0 and "harbour" in text else ""
    chunks = CHUNKS[:3]
    embeddings(chunks, settings, tmp_path / "kept", spending(tmp_path / "spending", 1e6))
    spent = ledger.spent()
    assert spent.paid_usd == sum(len(each.text.split()) for each in chunks)
    assert spent.lost_usd == len(chunks[2].text) + 2  # what its bytes can be
    assert spent.reserved_usd == 0
    server.ledger.clear()
    server.faults = lambda text, tries: ""
    budget = spent.total_usd + 70
    with pytest.raises(UserError, match=r"is reached: .* embedding the next 1 texts may cost"):
        embeddings(CHUNKS, settings, tmp_path / "kept", spending(tmp_path / "spending", budget))
    assert sent(server) == [TEXTS["ships.md"], TEXTS["empty.md"]]
    assert ledger.spent().total_usd <= budget
    # By embedder: each text once, although one was sent twice.
    of_it, its = ledger.embedded("e", MODEL)
    texts = [each.text for each in chunks] + [TEXTS["ships.md"], TEXTS["empty.md"]]
    assert (of_it.texts, of_it.tokens) == (5, sum(len(each.split()) for each in texts))
    assert its == ledger.spent()
    assert ledger.embedded("another", MODEL)[1] == Spent()


def test_what_is_more_than_the_budget_is_not_started(
    server: EmbeddingServer, tmp_path: Path
) -> None:
    texts = {chunk.text for chunk in CHUNKS}  # equal ones are sent once
    expected = sum(-(-len(text.encode()) // 4) for text in texts)
    told = rf"={expected - 1} is not enough: embedding {len(texts)} texts .* cost \${expected}"
    with pytest.raises(UserError, match=told):
        embeddings(
            CHUNKS,
            asking(server, "openai"),
            tmp_path / "kept",
            spending(tmp_path / "spending", expected - 1),
        )
    assert server.ledger == []


# In this process, and real servers

_LLAMA_SERVER = """
import sys, threading, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.port = sys.argv[1], int(sys.argv[2])
params.embedding, params.n_ctx, params.n_parallel = True, 64, 1
params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
server = xllamacpp.Server(params)
threading.Event().wait()
"""


def _commands(model: Path, port: int) -> dict[str, list[str]]:
    options = {"model": model, "model_alias": MODEL, "port": port, "n_ctx": CONTEXT}
    given = [str(each) for name, value in options.items() for each in (f"--{name}", value)]
    return {
        "llama_cpp.server": ["-m", "llama_cpp.server", *given, "--embedding", "true"],
        "llama-server": ["-c", _LLAMA_SERVER, str(model), str(port)],
    }


@contextmanager
def real(name: str, model: Path, log: Path) -> Iterator[str]:
    """Run a real server; yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("w") as stream:
        command = [sys.executable, *_commands(model, port)[name]]
        process = subprocess.Popen(command, stdout=stream, stderr=stream)
        try:
            deadline = time.monotonic() + 90
            while process.poll() is None and time.monotonic() < deadline:
                try:
                    if requests.get(f"http://127.0.0.1:{port}/v1/models", timeout=5).ok:
                        break
                except requests.ConnectionError:
                    time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoder") / "encoder.gguf")


def inside(encoder: Path, binding: Any = "xllamacpp", **more: Any) -> IndexSettings:
    own = LlamaCppEmbedderSettings(
        kind="llama_cpp", model=str(encoder), local_binding=binding, **more
    )
    return index_settings("e", {"e": own})


SHORT = [chunk(f"{number}.md", text) for number, text in enumerate(
    ["the ship in the ice", "def return the light of the house 42!", "winter", "a harbour"]
)]  # fmt: skip


def test_both_libraries_make_the_same_vectors(encoder: Path, tmp_path: Path) -> None:
    vectors = [
        embeddings(SHORT, inside(encoder, binding), tmp_path / binding).vectors
        for binding in ("xllamacpp", "llama_cpp_python")
    ]
    assert np.abs(vectors[0] - vectors[1]).max() < 1e-4
    assert np.allclose(np.linalg.norm(vectors[0], axis=1), 1)
    assert (vectors[0] @ vectors[0].T)[~np.eye(4, dtype=bool)].max() < 0.999


@pytest.mark.parametrize("name", ["llama_cpp.server", "llama-server"])
def test_real_servers_make_the_vectors_of_this_process(
    encoder: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is a long text cut, which llama_cpp.server does in silence."""
    monkeypatch.setattr(learned_module, "_LONGEST_WAIT_S", 0.01)
    with real(name, encoder, tmp_path / "log") as url:
        model = requests.get(f"{url}/models", timeout=30).json()["data"][0]["id"]
        own = OpenAICompatibleEmbedderSettings(kind="openai_compatible", base_url=url, model=model)
        served = embeddings(SHORT, index_settings("e", {"e": own}), tmp_path / "served")
        own = own.model_copy(update={"max_tokens": CONTEXT})
        long = chunk("long.md", "ice " * (CONTEXT + 9))
        with pytest.raises(UserError, match=rf"no vector of chunk long\.md.*{CONTEXT} tokens"):
            embeddings([*SHORT, long], index_settings("e", {"e": own}), tmp_path / "served")
    here = embeddings(SHORT, inside(encoder), tmp_path / "here")
    assert np.abs(served.vectors - here.vectors).max() < 1e-4


@pytest.mark.parametrize("binding", ["xllamacpp", "llama_cpp_python"])
def test_the_model_in_this_process_cuts_nothing(
    encoder: Path, tmp_path: Path, binding: str
) -> None:
    long = chunk("long.md", "ice " * (CONTEXT - 1))
    message = r"reads at most 64 tokens, and chunk long\.md:0-252 has 65"
    with pytest.raises(UserError, match=message):
        embeddings([SHORT[0], long], inside(encoder, binding), tmp_path)
    fits = chunk("fits.md", "ice " * (CONTEXT - 2))
    assert embeddings([fits], inside(encoder, binding), tmp_path).vectors.shape == (1, 32)


@pytest.mark.parametrize("binding", ["xllamacpp", "llama_cpp_python"])
def test_chunks_are_cut_by_the_models_own_tokenizer(
    encoder: Path, tmp_path: Path, binding: Any
) -> None:
    """It needs no chat template, and two tokens stand around each text."""
    tokenizer = TokenizerFile(path=str(encoder), is_own=True, binding=binding)
    settings = ChunkSettings(chunking=ChunkingSettings(tokens=CONTEXT - 2), tokenizer=tokenizer)
    text = "the ship in the ice\nzebra 42!\n" * 40
    made = list(chunks([document("a.md", text)], settings))
    assert max(each.tokens for each in made) > CONTEXT - 8
    vectors = embeddings(made, inside(encoder, binding), tmp_path).vectors
    assert vectors.shape == (len(made), 32)


def test_a_model_without_pooling_is_no_encoder(
    encoder: Path, demo_model: Path, tmp_path: Path
) -> None:
    plain = write_encoder(tmp_path / "none.gguf", pooling=gguf.PoolingType.NONE)
    for model in (plain, demo_model):
        with pytest.raises(UserError, match="does not say how it makes one vector of a text"):
            embeddings(SHORT, inside(model), tmp_path)
