"""Fireworks: chat completions, datasets, their storage, and batch inference jobs."""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import quote

from . import hosted, schemas, sdk
from .base import Answer, Json
from .hosted import DAY_S, HostedHandler, HostedServer, Refused, Response, Row, moment, page
from .openai_compatible import CompatibleHandler

CHAT = "/inference/v1/chat/completions"
ACCOUNT = "tester"
MODEL = "accounts/fireworks/models/gpt-oss-120b"
NO_BATCHES = "accounts/fireworks/models/too-new"

_CREDENTIAL = "tester%2F20260830%2Fauto"  # the signature is over exactly this spelling
_ID = re.compile("[a-z][a-z0-9-]{0,62}")
_ROLES = ("system", "user", "assistant", "tool")
_JOB_FIELDS = ("model", "inputDatasetId", "displayName")  # the others are not made here
_CODES = {400: 3, 403: 7, 404: 5, 405: 12, 409: 6, 429: 8, 500: 13, 501: 12, 503: 14}


@dataclass
class Dataset:
    """Files under a name."""

    id: str
    examples: int
    created: float
    files: dict[str, bytes] = field(default_factory=dict)
    state: str = "UPLOADING"
    polls_to_ready: int = 1

    def described(self) -> Json:
        return {
            "name": f"accounts/{ACCOUNT}/datasets/{self.id}",
            "displayName": "",
            "createTime": moment(self.created),
            "createdBy": "user@example.org",
            "state": self.state,
            "status": {"code": "OK", "message": ""},
            "exampleCount": str(self.examples),
            "estimatedTokenCount": "0",
            "externalUrl": "",
            "format": "FORMAT_UNSPECIFIED",
            "sourceJobName": "",
            "userUploaded": {},
        }


@dataclass(kw_only=True)
class Job(hosted.Job):
    """A batch inference job."""

    model: str
    input: Dataset
    output_id: str

    def described(self) -> Json:
        done = self.good + self.bad
        progress = {
            "percent": 100 * done // max(1, len(self.rows)),
            "epoch": 0,
            "totalInputRequests": self.input.examples,
            "totalProcessedRequests": done,
            "successfullyProcessedRequests": self.good,
            "failedRequests": self.bad,
            "outputRows": self.good,
            "inputTokens": 0,
            "outputTokens": 0,
            "cachedInputTokenCount": 0,
        }
        began = self.state not in ("VALIDATING", "PENDING", "CREATING")
        return {
            "name": f"accounts/{ACCOUNT}/batchInferenceJobs/{self.id}",
            "displayName": "",
            "createTime": moment(self.created),
            "createdBy": "user@example.org",
            "expireTime": moment(self.created + DAY_S),
            "state": f"JOB_STATE_{self.state}",
            "status": {
                "code": "INVALID_ARGUMENT" if self.problem else "OK",
                "message": self.problem,
            },
            "model": self.model,
            "inputDatasetId": f"accounts/{ACCOUNT}/datasets/{self.input.id}",
            "outputDatasetId": f"accounts/{ACCOUNT}/datasets/{self.output_id}",
            "inferenceParameters": {"extraBody": "{}"},
            "jobProgress": progress if began else None,
            "lifecycle": None,
            "maxJobDuration": None,
            "placement": None,
            "precision": "BF16",
            "systemPrompt": "",
            "continuedFromJobName": "",
            "waitingOnCapacity": False,
        }


class FireworksHandler(HostedHandler, CompatibleHandler):
    """What captures of the real service, its OpenAPI description and its SDK say."""

    provider = "fireworks"
    life = ("VALIDATING", "PENDING", "CREATING", "RUNNING", "COMPLETED")
    works_in = "RUNNING"
    checks_in = "VALIDATING"
    ends: ClassVar = {"failed": "FAILED", "expired": "EXPIRED"}
    unknown_job = "resource not found"
    chat_path = CHAT
    server: FireworksServer
    _datasets = "/v1/accounts/([^/]+)/datasets"
    _jobs = "/v1/accounts/([^/]+)/batchInferenceJobs"
    routes: ClassVar[dict[tuple[str, str], str]] = {
        ("GET", "/v1/accounts/([^/]+)/models"): "list_models",
        ("GET", "/v1/accounts/([^/]+)/models/([^/]+)"): "get_model",
        ("POST", _datasets): "create_dataset",
        ("GET", f"{_datasets}/([^/:]+)"): "get_dataset",
        ("POST", f"{_datasets}/([^/:]+):upload"): "upload",
        ("POST", f"{_datasets}/([^/:]+):getUploadEndpoint"): "upload_endpoint",
        ("POST", f"{_datasets}/([^/:]+):validateUpload"): "validate_upload",
        ("GET", f"{_datasets}/([^/:]+):getDownloadEndpoint"): "download_endpoint",
        ("POST", _jobs): "create_job",
        ("GET", _jobs): "list_jobs",
        ("GET", f"{_jobs}/([^/]+)"): "get_job",
        ("DELETE", f"{_jobs}/([^/]+)"): "delete_job",
        ("PUT", "/storage/(upload)/([^/]+)/(.+)"): "put_file",
        ("GET", "/storage/(download)/([^/]+)/(.+)"): "get_file",
    }

    # Errors and authorization

    def error_body(self, status: int, message: str, code: str | None = None) -> Json:
        """The gateway's errors and those of inference look different."""
        if self.path.startswith("/inference/") or status == 403:
            error = {"message": message, "param": None, "code": code, "type": "error"}
            return {"error": error, "request_id": "aeb89645-8f44-4075-8d1b-e8c2f3a9c177"}
        return {"code": _CODES.get(status, 2), "message": message, "details": []}

    def unauthorized(self) -> tuple[int, Json] | None:
        if self.headers.get("Authorization") == f"Bearer {self.server.key}":
            return None
        message = "The API key you provided is invalid."
        return 403, self.error_body(403, message, "UNAUTHORIZED")

    def authorize(self, path: str) -> None:
        if path.startswith("/storage/"):
            if "Authorization" in self.headers:
                text = "<Error><Code>InvalidArgument</Code>Only one auth mechanism allowed</Error>"
                raise Refused(400, text.encode())
            return
        if self.command == "GET" and self.raw:
            raise Refused(400, b"<html><title>Error 400 (Bad Request)</title></html>")
        super().authorize(path)

    def no_route(self, path: str) -> Response:
        if path.endswith(":getDownloadEndpoint"):
            return 405, {"code": 12, "message": "Method Not Allowed", "details": []}
        return 404, self.error_body(404, "Not Found")

    def _own(self, account: str) -> None:
        if account != ACCOUNT:
            raise Refused(403, {"code": 7, "message": "permission denied", "details": []})

    # Chat completions

    def schema_problem(self, schema: Json) -> str | None:
        return schemas.fireworks(schema)

    def refusal(self, body: Json) -> tuple[int, Json] | None:
        if refused := self.unauthorized():
            return refused
        schema = self.schema_of(body)
        if schema is not None and (problem := self.schema_problem(schema)):
            return 400, self.error_body(400, problem, "invalid_request_error")
        if body.get("model") not in self.server.models:
            message = "Model not found, inaccessible, and/or not deployed"
            return 404, self.error_body(404, message, "NOT_FOUND")
        problem = sdk.wrong_type("fireworks", body)
        for name in body.keys() - sdk.fields("fireworks"):
            problem = f"Extra inputs are not permitted, field: '{name}'"
        if not 0 <= body.get("top_k", 0) <= 100 or len(self.limits(body)[1]) > 4:
            problem = "top_k must be from 0 to 100, and stop have at most 4 texts"
        if problem:
            return 400, self.error_body(400, problem, "invalid_request_error")
        return None

    def reply(self, body: Json, answer: Answer) -> Json:
        return {**super().reply(body, answer), "id": f"chatcmpl-{self.server.numbered():032x}"}

    # Models

    def list_models(self, account: str) -> Response:
        found = [
            self._model(name)
            for name in self.server.models
            if name.startswith(f"accounts/{account}/")
        ]
        return self._listed("models", found)

    def get_model(self, account: str, name: str) -> Response:
        full = f"accounts/{account}/models/{name}"
        if full not in self.server.models:
            raise Refused(404, self.error_body(404, "resource not found"))
        return 200, self._model(full)

    def _model(self, name: str) -> Json:
        told = self.server.models[name]
        return {"name": name, "state": "READY", "kind": "HF_BASE_MODEL", "public": True, **told}

    def _listed(self, name: str, found: list[Json]) -> Response:
        start = int(self.query.get("pageToken") or 0)
        size = min(int(self.query.get("pageSize") or 50), 200)
        data, more = page(found, start, size)
        token = str(start + size) if more else ""
        return 200, {name: data, "nextPageToken": token, "totalSize": len(found)}

    # Datasets and their files

    def _dataset(self, account: str, name: str) -> Dataset:
        self._own(account)
        if name not in self.server.datasets:
            raise Refused(404, self.error_body(404, "resource not found"))
        return self.server.datasets[name]

    def create_dataset(self, account: str) -> Response:
        self._own(account)
        body = self.sent_json()
        name, told = str(body.get("datasetId")), body.get("dataset") or {}
        if not _ID.fullmatch(name):
            raise Refused(400, self.error_body(400, f"invalid dataset id {name!r}"))
        if "userUploaded" in told and not told.get("exampleCount"):
            message = "error validating dataset: example_count is required for uploaded datasets"
            raise Refused(400, self.error_body(400, message))
        if name in self.server.datasets:
            raise Refused(409, self.error_body(409, f"dataset {name} already exists"))
        dataset = Dataset(name, int(told["exampleCount"]), self.server.clock)
        self.server.datasets[name] = dataset
        return 200, dataset.described()

    def get_dataset(self, account: str, name: str) -> Response:
        dataset = self._dataset(account, name)
        if dataset.files and dataset.state == "UPLOADING":
            dataset.polls_to_ready -= 1
            if dataset.polls_to_ready < 0:
                dataset.state = "READY"
        return 200, dataset.described()

    def _empty(self, account: str, name: str) -> Dataset:
        dataset = self._dataset(account, name)
        if dataset.files:
            raise Refused(400, self.error_body(400, f"dataset {name} is already uploaded"))
        return dataset

    def upload(self, account: str, name: str) -> Response:
        dataset = self._empty(account, name)
        _, file_name, content = self.sent_form()
        if len(content) > self.server.max_direct_bytes:
            raise Refused(400, self.error_body(400, "file is too large for direct upload"))
        dataset.files[file_name] = content
        return 200, {
            "id": f"accounts/{account}/datasets/{name}",
            "object": "file",
            "bytes": len(content),
            "created_at": int(self.server.clock),
            "filename": file_name,
            "purpose": "dataset",
        }

    def upload_endpoint(self, account: str, name: str) -> Response:
        dataset = self._empty(account, name)
        sizes = self.sent_json().get("filenameToSize") or {}
        urls = {each: self._signed("upload", dataset.id, each) for each in sizes}
        self.server.expected.update({(dataset.id, each): int(sizes[each]) for each in sizes})
        return 200, {"filenameToSignedUrls": urls}

    def _signed(self, direction: str, dataset: str, file_name: str) -> str:
        until = int(self.server.clock) + self.server.signed_for_s
        return (
            f"{self.server.url}/storage/{direction}/{dataset}/{quote(file_name)}"
            f"?X-Goog-Credential={_CREDENTIAL}&X-Goog-Signature=secret-{until}"
        )

    def _check_signature(self) -> None:
        found = re.fullmatch(r"secret-(\d+)", self.query.get("X-Goog-Signature", ""))
        if found is None or _CREDENTIAL not in self.path:
            raise Refused(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>")
        if int(found[1]) < self.server.clock:
            raise Refused(400, b"<Error><Code>ExpiredToken</Code></Error>")

    def put_file(self, _: str, dataset: str, file_name: str) -> Response:
        self._check_signature()
        size = self.server.expected.get((dataset, file_name))
        if (
            size != len(self.raw)
            or self.headers["x-goog-content-length-range"] != f"{size},{size}"
            or self.headers["Content-Type"] != "application/octet-stream"
        ):
            raise Refused(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>")
        self.server.stored[dataset, file_name] = self.raw
        return 200, b""

    def validate_upload(self, account: str, name: str) -> Response:
        dataset = self._dataset(account, name)
        found = {
            file_name: content
            for (of, file_name), content in self.server.stored.items()
            if of == dataset.id
        }
        if not found:
            raise Refused(400, self.error_body(400, "no files were uploaded"))
        dataset.files = found
        return 200, {}

    def download_endpoint(self, account: str, name: str) -> Response:
        dataset = self._dataset(account, name)
        return 200, {
            "filenameToSignedUrls": {
                f"dataset/{name}/{each}": self._signed("download", name, each)
                for each in dataset.files
            }
        }

    def get_file(self, _: str, dataset: str, file_name: str) -> Response:
        self._check_signature()
        return 200, self.server.datasets[dataset].files[file_name]

    # Jobs

    def create_job(self, account: str) -> Response:
        self._own(account)
        body = self.sent_json()
        name = self.query.get("batchInferenceJobId") or f"bij{self.server.numbered()}"
        for key in body:
            if key not in _JOB_FIELDS:
                raise Refused(400, self.error_body(400, f'unknown field "{key}"'))
        if not _ID.fullmatch(name):
            raise Refused(400, self.error_body(400, f"invalid job id {name!r}"))
        if name in self.server.batches or name in self.server.deleted:
            raise Refused(409, self.error_body(409, f"job {name} already exists"))
        if body.get("model") not in self.server.models:
            raise Refused(404, self.error_body(404, "model not found"))
        dataset = self._dataset(account, str(body.get("inputDatasetId")).rsplit("/", 1)[-1])
        if dataset.state != "READY":
            raise Refused(400, self.error_body(400, f"dataset {dataset.id} is not ready"))
        job = Job(
            id=name,
            created=self.server.clock,
            model=body["model"],
            input=dataset,
            output_id=f"bij-{name}",
        )
        return self.created(job)

    def shown(self, job: Job) -> Json:
        return job.described()

    def list_jobs(self, account: str) -> Response:
        self._own(account)
        return self._listed("batchInferenceJobs", self.shown_batches()[::-1])

    def get_job(self, account: str, name: str) -> Response:
        self._own(account)
        job = self.found(name)
        if job.state == "DELETING_CLEANING_UP":
            del self.server.batches[name]
            self.server.deleted.add(name)
            return 200, job.described()
        return self.get_batch(name)

    def delete_job(self, account: str, name: str) -> Response:
        self._own(account)
        self.found(name).state = "DELETING_CLEANING_UP"
        return 200, {}

    def waits(self, job: hosted.Job) -> bool:
        assert isinstance(job, Job)
        takes_jobs = self.server.models[job.model].get("batchInferenceSupported", True)
        return super().waits(job) or (job.state == "PENDING" and not takes_jobs)

    def fails(self, job: hosted.Job) -> bool:
        assert isinstance(job, Job)
        job.problem = self._problem(job)
        return bool(job.problem)

    def completed(self, job: Job, body: Json) -> Json:
        return {**body, "model": job.model}

    def _problem(self, job: Job) -> str:
        """The first problem of the dataset; fills the job's rows."""
        start = "Dataset has a syntax error: chat dataset validation failed on "
        rows: dict[str, Row] = {}
        for file_name, content in job.input.files.items():
            for number, text in enumerate(content.splitlines(), start=1):
                where = f"{start}{file_name}:{number}: "
                try:
                    line: Any = json.loads(text)
                    row = Row(line["custom_id"], line["body"])
                    roles = [message["role"] for message in row.body["messages"]]
                except (ValueError, KeyError, TypeError) as error:
                    return f"{where}{error!r}"
                for at, role in enumerate(roles):
                    if role not in _ROLES:
                        return (
                            f"{where}invalid role {role} in message {at}, must be 'system', "
                            "'user', 'assistant' or 'tool'"
                        )
                if row.custom_id in rows:
                    return f"{where}duplicate custom_id {row.custom_id}"
                rows[row.custom_id] = row
        job.rows = list(rows.values())
        return ""

    def write_results(self, job: Job) -> None:
        """Write the output dataset, in any order; a job that failed has none."""
        if job.end == "failed":
            return
        done = [
            {"custom_id": row.custom_id, "response": row.reply}
            for row in job.rows
            if row.status == 200
        ]
        random.Random(job.id).shuffle(done)
        failed = [
            {"custom_id": row.custom_id, "error": {"code": row.status, "message": "row failed"}}
            for row in job.rows
            if row.status not in (0, 200)
        ]
        files = {
            "BIJOutputSet.jsonl": self.written(done),
            "error-data": b"".join(json.dumps(line).encode() + b"\n" for line in failed),
        }
        output = Dataset(job.output_id, len(done), self.server.clock, files, "READY")
        self.server.datasets[job.output_id] = output


class FireworksServer(HostedServer):
    """Fireworks with a model that thinks, one that does not, and one that takes no batches."""

    def __init__(self) -> None:
        super().__init__(FireworksHandler)
        self.enforces = True
        self.models: dict[str, Json] = {
            MODEL: {"supportsServerless": True, "contextLength": 131_072},
            "accounts/fireworks/models/llama-v3p3-70b-instruct": {"supportsServerless": True},
            NO_BATCHES: {"supportsServerless": True, "batchInferenceSupported": False},
        }
        self.choice: Json = {}  # replaces fields of each answer's choice
        self.datasets: dict[str, Dataset] = {}
        self.deleted: set[str] = set()
        self.expected: dict[tuple[str, str], int] = {}  # sizes of announced uploads
        self.stored: dict[tuple[str, str], bytes] = {}
        self.max_direct_bytes = 150_000_000
        self.signed_for_s = 599
