# Retrieval: from documents to the passages of each item. All experiments share results/corpora;
# docs/retrieval.md.


rule checkout:
    """The files of a commit, from a repository that is cloned once: corpora/{corpus}/source.tar."""
    input:
        settings=BINDING.corpus_settings("checkout"),
    output:
        layout.COMMIT,
    log:
        layout.CORPUS_LOG.format(rule="checkout", about="{corpus}"),
    wildcard_constraints:
        corpus=one_of(EXPERIMENT.corpora_of("commit")),
    message:
        "Get the commit of corpus {wildcards.corpus}"
    shell:
        "python -m workflow_scripts.retrieval.checkout --settings {input.settings}"
        " --output {output} 2> {log}"


rule ingest:
    """The documents of a corpus, and what was left out: corpora/{corpus}/documents.jsonl."""
    input:
        source=EXPERIMENT.corpus_source,
        settings=BINDING.corpus_settings("ingest"),
    output:
        layout.DOCUMENTS,
    log:
        layout.CORPUS_LOG.format(rule="ingest", about="{corpus}"),
    wildcard_constraints:
        corpus=one_of(EXPERIMENT.corpora_of("path", "commit")),
    params:
        # A folder is no input: Snakemake would look at its date.
        source=EXPERIMENT.corpus_path,
        contents=or_exit(EXPERIMENT.corpus_contents),
        code=code("retrieval.ingest"),
    message:
        "Ingest corpus {wildcards.corpus}"
    shell:
        "python -m workflow_scripts.retrieval.ingest --settings {input.settings}"
        " --source {params.source:q} --output {output} 2> {log}"


rule passages:
    """The passages of a data set as documents: corpora/{corpus}/documents.jsonl."""
    input:
        source=EXPERIMENT.corpus_source,
        settings=BINDING.corpus_settings("passages"),
    output:
        layout.DOCUMENTS,
    log:
        layout.CORPUS_LOG.format(rule="passages", about="{corpus}"),
    wildcard_constraints:
        corpus=one_of(EXPERIMENT.corpora_of("dataset")),
    params:
        contents=or_exit(EXPERIMENT.corpus_contents),
        code=code("datasets.passages"),
    message:
        "Ingest the passages of corpus {wildcards.corpus}"
    shell:
        "python -m workflow_scripts.datasets.passages --settings {input.settings}"
        " --source {input.source:q} --output {output} 2> {log}"


rule chunk:
    """The documents of a corpus cut into chunks: corpora/{corpus}/{chunking}/chunks.jsonl."""
    input:
        documents=layout.DOCUMENTS,
        tokenizer=ancient(EXPERIMENT.chunk_tokenizer),
        settings=BINDING.corpus_settings("chunk"),
    output:
        layout.CHUNKS,
    log:
        layout.CORPUS_LOG.format(rule="chunk", about="{corpus}.{chunking}"),
    params:
        contents=or_exit(EXPERIMENT.chunk_contents),
        code=code("retrieval.chunk"),
    message:
        "Cut corpus {wildcards.corpus} into chunks: {wildcards.chunking}"
    shell:
        "python -m workflow_scripts.retrieval.chunk --documents {input.documents}"
        " --settings {input.settings} --output {output} 2> {log}"


rule check_searches:
    """Gold passages are in the corpus, and it has `top_k` chunks: corpora/{corpus}/{chunking}/checked.txt.

    Embedders that cost something wait for it. If it comes out equal, no job behind it runs.
    """
    input:
        item_files=EXPERIMENT.items_that_search,
        chunks=layout.CHUNKS,
        settings=settings("check_searches"),
    output:
        layout.CHECKED,
    log:
        layout.CORPUS_LOG.format(rule="check_searches", about="{corpus}.{chunking}"),
    params:
        code=code("requests.check_searches"),
    message:
        "Look up gold passages in corpus {wildcards.corpus}"
    shell:
        "python -m workflow_scripts.requests.check_searches --items {input.item_files}"
        " --chunks {input.chunks} --settings {input.settings} --output {output} 2> {log}"


rule embed:
    """The vectors of a corpus's chunks: corpora/{corpus}/{chunking}/{embedder}/embeddings.npy."""
    input:
        chunks=layout.CHUNKS,
        checked=EXPERIMENT.checked_before,
        settings=BINDING.corpus_settings("embed"),
    output:
        layout.EMBEDDINGS,
    log:
        layout.CORPUS_LOG.format(rule="embed", about="{corpus}.{chunking}.{embedder}"),
    wildcard_constraints:
        embedder=one_of(EXPERIMENT.embedders(dense=True)),
    resources:
        gpu=EXPERIMENT.embedder_gpus,
        cpu_model=EXPERIMENT.embedder_cpu_models,
    params:
        spending=BINDING.embedding_spending,
        contents=or_exit(EXPERIMENT.embedder_contents),
        code=code("retrieval.embed"),
    message:
        "Embed the chunks of corpus {wildcards.corpus}: {wildcards.embedder}"
    shell:
        "python -m workflow_scripts.retrieval.embed --chunks {input.chunks}"
        " --settings {input.settings} --kept results/embeddings {params.spending}"
        " --output {output} 2> {log}"


rule index_vectors:
    """The index of vectors: corpora/{corpus}/{chunking}/{embedder}/index.json and index.faiss."""
    input:
        chunks=layout.CHUNKS,
        embeddings=layout.EMBEDDINGS,
        settings=BINDING.corpus_settings("embed"),
    output:
        about=layout.INDEX,
        index=layout.DENSE_INDEX,
    log:
        layout.CORPUS_LOG.format(rule="index_vectors", about="{corpus}.{chunking}.{embedder}"),
    wildcard_constraints:
        embedder=one_of(EXPERIMENT.embedders(dense=True)),
    params:
        code=code("retrieval.index"),
    message:
        "Index corpus {wildcards.corpus}: {wildcards.embedder}"
    shell:
        "python -m workflow_scripts.retrieval.index --chunks {input.chunks}"
        " --embeddings {input.embeddings} --settings {input.settings}"
        " --output {output.about} 2> {log}"


rule index_words:
    """The index of words: corpora/{corpus}/{chunking}/{embedder}/index.json and index.bm25.npz."""
    input:
        chunks=layout.CHUNKS,
        settings=BINDING.corpus_settings("embed"),
    output:
        about=layout.INDEX,
        index=layout.WORD_INDEX,
    log:
        layout.CORPUS_LOG.format(rule="index_words", about="{corpus}.{chunking}.{embedder}"),
    wildcard_constraints:
        embedder=one_of(EXPERIMENT.embedders(dense=False)),
    params:
        code=code("retrieval.index"),
    message:
        "Index the words of corpus {wildcards.corpus}: {wildcards.embedder}"
    shell:
        "python -m workflow_scripts.retrieval.index --chunks {input.chunks}"
        " --settings {input.settings} --output {output.about} 2> {log}"


rule retrieve:
    """The passages of each item: retrievals/{task}.{search}.jsonl.

    Gold passages are looked up in the corpus; a wrong one stops the run.
    """
    input:
        item_file=LAYOUT.items,
        chunks=EXPERIMENT.searched_chunks,
        index=EXPERIMENT.searched_index,
        texts=[],
        settings=settings("retrieve"),
    output:
        LAYOUT.retrieved,
    log:
        LAYOUT.log("retrieve", "{task}.{search}"),
    benchmark:
        LAYOUT.benchmark("retrieve", "{task}.{search}")
    resources:
        gpu=EXPERIMENT.embedder_gpus,
        cpu_model=EXPERIMENT.embedder_cpu_models,
    params:
        folder=EXPERIMENT.index_argument,
        spending=BINDING.embedding_spending,
        code=code("requests.retrieve"),
    message:
        "Find the passages of the {wildcards.task} items: {wildcards.search}"
    shell:
        "python -m workflow_scripts.requests.retrieve --items {input.item_file}"
        " --settings {input.settings} --chunks {input.chunks} --texts {input.texts} {params.folder}"
        " --kept results/embeddings {params.spending} --output {output} 2> {log}"


rule rewrite_requests:
    """What a model is asked to rewrite the questions of a task: inputs/{rewriting}/….

    The requests are a part like all others: rules/infer.smk and rules/batch.smk send them.
    """
    input:
        questions=LAYOUT.questions,
        settings=settings("rewrite"),
    output:
        LAYOUT.rewrite_requests,
    log:
        LAYOUT.log("rewrite_requests", f"{MODEL}/{{rewriting}}/{{task}}"),
    params:
        code=code("requests.rewrite"),
    message:
        "Ask {wildcards.model} ({wildcards.backend}) to rewrite the {wildcards.task} questions"
    shell:
        "python -m workflow_scripts.requests.rewrite --questions {input.questions}"
        " --settings {input.settings} --output {output} 2> {log}"


rule search_texts:
    """What a model made of the questions of a task: {rewriting}/search_texts/{task}.jsonl."""
    input:
        raw=LAYOUT.rewrite_raw,
    output:
        LAYOUT.search_texts,
    log:
        LAYOUT.log("search_texts", f"{MODEL}/{{rewriting}}/{{task}}"),
    params:
        code=code("requests.search_texts"),
    message:
        "Read the search texts of {wildcards.model} ({wildcards.backend}): {wildcards.task}"
    shell:
        "python -m workflow_scripts.requests.search_texts --raw {input.raw} --output {output} 2> {log}"


use rule retrieve as retrieve_rewritten with:
    """The passages found for a model's search texts: {rewriting}/retrievals/{task}.{search}.jsonl."""
    input:
        item_file=LAYOUT.items,
        chunks=EXPERIMENT.searched_chunks,
        index=EXPERIMENT.searched_index,
        texts=LAYOUT.search_texts,
        settings=settings("retrieve"),
    output:
        LAYOUT.rewritten_retrieved,
    log:
        LAYOUT.log("retrieve", f"{MODEL}/{{rewriting}}/{{task}}.{{search}}"),
    benchmark:
        LAYOUT.benchmark("retrieve", f"{MODEL}/{{rewriting}}/{{task}}.{{search}}")
    message:
        "Find passages by the search texts of {wildcards.model}: {wildcards.task}, {wildcards.search}"
