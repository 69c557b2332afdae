"""
Mistake or outage: what is away or wrong, when, and what becomes of the task.

Each list of kinds has inputs of one form: ``ERRORS`` those of :class:`Raised`, ``ENDS`` of :class:`Ended`, ``ROOM`` of
:class:`Asked`, ``ATTACHMENTS`` of :class:`Away`, ``TRACKERS`` of :class:`Tracked`. Errors are made by the libraries
themselves where these are installed here; the texts are what those said to a server that was away, or refused.
"""

from __future__ import annotations

import errno
import gzip
import importlib
import io
import lzma
import socket
import ssl
import urllib.error
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Any

from airflow_provider_air.drivers.wire.error_kinds import EXPIRED, MISTAKE, OUTAGE
from tests.kinds import Kind

AT_ONCE = "Fails at once, with one message that names the field"
AGAIN = "Asked again on the spot for a minute, then by Airflow's retries"
GCS = "google::cloud::Status({}: a message error_info={{reason=, domain=, metadata={{}}}})"


@dataclass(frozen=True)
class Raised:
    """
    :param error: makes what is raised, or raises it itself
    :param kind: what it is taken for
    """

    error: Callable[[], BaseException]
    kind: str

    def made(self) -> BaseException:
        """Give the error, with what led to it."""
        try:
            error = self.error()
        except Exception as raised:  # noqa: BLE001  # whatever it is, it is what a driver would see
            return raised
        return error


@dataclass(frozen=True)
class Ended:
    """A job's end, as Ray tells of it: fields of its details; and the error of its closing record."""

    fields: dict[str, Any]
    error: str
    record: dict[str, str] | None = None


@dataclass(frozen=True)
class Asked:
    """What a run asks of the cluster, and what a worker is counted with."""

    scaling: dict[str, Any]
    each: dict[str, float]


@dataclass(frozen=True)
class Away:
    """An attachment that fails in some calls, and the task's end: ``fails``, ``retried`` or ``succeeds``."""

    fails: list[str]
    end: str
    failure: str = "unavailable"
    required: bool = True


@dataclass(frozen=True)
class Tracked:
    """What W&B answers to a driver that opens its run (0: nobody listens), and the exit code."""

    status: int
    code: int
    environment: dict[str, str] = field(default_factory=dict)


def mistakes(**errors: Callable[[], BaseException]) -> dict[str, Raised]:
    return {name.replace("_", " "): Raised(error, MISTAKE) for name, error in errors.items()}


def outages(**errors: Callable[[], BaseException]) -> dict[str, Raised]:
    return {name.replace("_", " "): Raised(error, OUTAGE) for name, error in errors.items()}


def expired(**errors: Callable[[], BaseException]) -> dict[str, Raised]:
    return {name.replace("_", " "): Raised(error, EXPIRED) for name, error in errors.items()}


def _opened(uri: str) -> BaseException:
    import pyarrow.fs

    filesystem, path = pyarrow.fs.FileSystem.from_uri(uri)
    return _done(filesystem.open_input_file, path)


def _done(call: Callable[..., Any], *arguments: Any) -> BaseException:
    """Give what a call raises."""
    call(*arguments)
    raise AssertionError("it was done")


def _arrow_s3(what: str) -> OSError:
    return OSError(f"When getting information for key 'k' in bucket 'b': AWS Error {what}")


def _aws(code: str, status: int) -> BaseException:
    from botocore.exceptions import ClientError

    answer = {"Error": {"Code": code, "Message": "a message"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    made: BaseException = ClientError(answer, "HeadObject")
    return made


def _botocore(name: str, **fields: Any) -> BaseException:
    import botocore.exceptions

    error: BaseException = getattr(botocore.exceptions, name)(**fields)
    return error


def _google(name: str, reason: str | None = None) -> BaseException:
    import google.api_core.exceptions

    errors = [{"reason": reason, "domain": "usageLimits"}] if reason else ()
    error: BaseException = getattr(google.api_core.exceptions, name)("a message", errors=errors)
    return error


def _google_auth(name: str, **fields: Any) -> BaseException:
    import google.auth.exceptions

    error: BaseException = getattr(google.auth.exceptions, name)("a message", **fields)
    return error


def _by_pandas(name: str) -> BaseException:
    """Give what pandas makes of psycopg's error of this name: an OSError."""
    import pandas
    import psycopg.errors

    original = getattr(psycopg.errors, name)("no")
    try:
        raise pandas.errors.DatabaseError("Execution failed on sql 'SELECT 1': no") from original
    except OSError as error:
        return error


def _sql(name: str, text: str = "a message") -> BaseException:
    """Give what SQLAlchemy makes of psycopg's error of this name."""
    import psycopg
    import psycopg.errors
    import sqlalchemy.exc

    original = (getattr(psycopg.errors, name, None) or getattr(psycopg, name))(text)
    made: BaseException = sqlalchemy.exc.DBAPIError.instance("SELECT 1", {}, original, psycopg.Error)
    return made


def _sqlite(statement: str, place: str = ":memory:") -> BaseException:
    import sqlite3

    database = sqlite3.connect(place)
    database.execute("CREATE TEMP TABLE t (id int)")
    return _done(database.execute, statement)


def _sqlite_by(library: str) -> BaseException:
    """Give what SQLAlchemy or pandas makes of a function that SQLite does not know."""
    import pandas
    import sqlalchemy

    with sqlalchemy.create_engine("sqlite://").connect() as connection:
        if library == "pandas":
            return _done(pandas.read_sql, "SELECT median_of(1)", connection.connection.driver_connection)
        return _done(connection.execute, sqlalchemy.text("SELECT median_of(1)"))


def _sqlite_says(text: str) -> BaseException:
    """Give an error of SQLite as Python 3.9 and 3.10 have it, without its number."""
    import sqlite3

    return sqlite3.OperationalError(text)


def _parquet(change: Callable[[bytes], bytes], codec: str = "snappy") -> BaseException:
    """Read a file of parquet whose bytes have been changed."""
    import pyarrow
    import pyarrow.parquet

    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"a": list(range(1000))}), file, compression=codec)
    return _done(pyarrow.parquet.read_table, pyarrow.BufferReader(change(file.getvalue())))


def _packed(codec: str, content: bytes = b"a,b\n1,2\n") -> BaseException:
    """Read as a packed CSV file what is none."""
    import pyarrow

    return _done(pyarrow.CompressedInputStream(pyarrow.BufferReader(content), codec).read)


def _orc(content: bytes) -> BaseException:
    import pyarrow
    import pyarrow.orc

    return _done(pyarrow.orc.ORCFile, pyarrow.BufferReader(content))


def _header() -> BaseException:
    import requests

    return _done(lambda: requests.get("http://127.0.0.1:1", headers={"Authorization": "Bearer token\n"}))


def _answer_without_a_text() -> BaseException:
    """Give an error whose text cannot be had, of an answer 503."""
    import aiohttp

    return aiohttp.ClientResponseError(None, (), status=503)  # type: ignore[arg-type]


def _feast(name: str, *arguments: Any, because: BaseException | None = None) -> BaseException:
    import feast.errors

    error: BaseException = getattr(feast.errors, name)(*arguments)
    error.__cause__ = because
    return error


def _wandb(name: str, text: str) -> BaseException:
    import wandb.errors

    error: BaseException = getattr(wandb.errors, name)(text)
    return error


def _ray(name: str, *arguments: Any, **fields: Any) -> BaseException:
    import ray.exceptions

    error: BaseException = getattr(ray.exceptions, name)(*arguments, **fields)
    return error


def _in_a_task(cause: BaseException) -> BaseException:
    error: BaseException = _ray("RayTaskError", "read", "a traceback", cause).as_instanceof_cause()  # type: ignore[attr-defined]
    return error


def _http(status: int) -> BaseException:
    return urllib.error.HTTPError("http://registry", status, "a reason", Message(), None)


def _httpx(status: int) -> BaseException:
    import httpx

    request = httpx.Request("GET", "http://registry")
    return httpx.HTTPStatusError("a message", request=request, response=httpx.Response(status, request=request))


def _requests(name: str, because: BaseException | None = None) -> BaseException:
    import requests.exceptions

    error: BaseException = getattr(requests.exceptions, name)("a message")
    error.__cause__ = because
    return error


def _grpc(name: str) -> BaseException:
    grpc: Any = importlib.import_module("grpc")
    made: BaseException = type("Answer", (grpc.RpcError,), {"code": lambda self: grpc.StatusCode[name]})()
    return made


def _os(number: int, text: str = "a message") -> OSError:
    return OSError(number, text)


ERRORS = [
    Kind(
        "Before the work: a malformed URI, a scheme that nobody knows, an option that is no such",
        AT_ONCE,
        mistakes(
            scheme_of_nobody=lambda: _opened("nope://x"),
            query_of_nobody=lambda: _opened("s3://b/k?colour=red"),
            path_without_scheme=lambda: _opened("relative/x"),
            percent_sign=lambda: _opened("s3://b%zz/k"),
            URL_without_scheme=lambda: _requests("MissingSchema"),
            value=lambda: ValueError("no number: x"),
            argument=lambda: TypeError("read() got an unexpected keyword argument 'colour'"),
            key=lambda: KeyError("colour"),
            name_that_S3_refuses=lambda: _botocore("ParamValidationError", report="Invalid bucket name"),
            region_of_nobody=lambda: _botocore("InvalidRegionError", region_name="x y"),
        ),
    ),
    Kind(
        "Before the work: a bucket, key, file, table, column, project or feature service that is not there",
        AT_ONCE,
        mistakes(
            bucket_on_S3=lambda: _arrow_s3("NO_SUCH_BUCKET during CreateMultipartUpload operation: m"),
            key_on_S3=lambda: _arrow_s3("NO_SUCH_KEY during ListObjectsV2 operation: m"),
            bucket_of_another_region=lambda: _arrow_s3(
                "UNKNOWN (HTTP status 301) during HeadObject operation: No body"
            ),
            bucket_on_Google=lambda: FileNotFoundError(errno.ENOENT, GCS.format("NOT_FOUND")),
            bucket_by_botocore=lambda: _aws("NoSuchBucket", 404),
            bucket_by_HEAD=lambda: _aws("404", 404),
            object_by_Google=lambda: _google("NotFound"),
            file=lambda: FileNotFoundError(errno.ENOENT, "there is none"),
            folder_in_place_of_a_file=lambda: OSError("Cannot open for reading: path '/tmp' is a directory"),
            table=lambda: _sql("UndefinedTable"),
            column=lambda: _sql("UndefinedColumn"),
            schema=lambda: _sql("InvalidSchemaName"),
            table_of_SQLite=lambda: _sqlite("SELECT * FROM nowhere"),
            column_of_SQLite=lambda: _sqlite("SELECT colour FROM t"),
            folder_of_SQLite=lambda: _sqlite("SELECT 1", "/nowhere/at/all.db"),
            file_read_by_DuckDB=lambda: __import__("duckdb").sql("SELECT * FROM '/nowhere/*.parquet'"),
            name_that_is_too_long=lambda: _done(Path("x" * 300).touch),
            name_that_is_too_long_for_Arrow=lambda: _opened("file:///" + "x" * 300),
            link_to_itself=lambda: _os(errno.ELOOP),
            database=lambda: _sql("OperationalError", 'connection failed: FATAL:  database "x" does not exist'),
            feature_service=lambda: _feast("FeatureServiceNotFoundException", "delay_v1", "flights"),
            registry_bucket=lambda: _feast("S3RegistryBucketNotExist", "b", because=_aws("404", 404)),
            page=lambda: _http(404),
            remote_object=lambda: _grpc("NOT_FOUND"),
        ),
    ),
    Kind(
        "Before the work: access is denied (403), a password, a key or a certificate is wrong, there are none",
        AT_ONCE,
        mistakes(
            denied_by_S3=lambda: _arrow_s3("ACCESS_DENIED during HeadObject operation: No response body."),
            key_that_AWS_does_not_know=lambda: _arrow_s3("INVALID_ACCESS_KEY_ID during PutObject operation: m"),
            secret_that_is_wrong=lambda: _arrow_s3("SIGNATURE_DOES_NOT_MATCH during PutObject operation: m"),
            denied_by_Google=lambda: PermissionError(errno.EACCES, GCS.format("PERMISSION_DENIED")),
            denied_by_botocore=lambda: _aws("AccessDenied", 403),
            forbidden_by_Google=lambda: _google("Forbidden"),
            forbidden_by_Google_with_a_reason=lambda: _google("Forbidden", "accessDenied"),
            no_AWS_credentials=lambda: _botocore("NoCredentialsError"),
            no_Google_credentials=lambda: _google_auth("DefaultCredentialsError"),
            folder_of_another_user=lambda: PermissionError(errno.EACCES, "Permission denied: '/data'"),
            file_system_to_read_alone=lambda: _os(errno.EROFS),
            database_to_read_alone=lambda: _sqlite_says("attempt to write a readonly database"),
            header_that_requests_refuses=_header,
            header_that_httpx_refuses=lambda: __import__("httpx").LocalProtocolError("Illegal header value"),
            password=lambda: _sql("OperationalError", 'FATAL:  password authentication failed for user "feast"'),
            password_with_a_state=lambda: _sql("InvalidPassword"),
            right_to_a_table=lambda: _sql("InsufficientPrivilege"),
            denied_by_Feast=lambda: _feast("FeastPermissionError", "no right to describe"),
            key_that_W_and_B_refuses=lambda: _wandb("AuthenticationError", "invalid API key"),
            entity_that_W_and_B_refuses=lambda: _wandb("CommError", "permission denied"),
            forbidden_page=lambda: _http(403),
            certificate=lambda: ssl.SSLCertVerificationError("self-signed certificate"),
            certificate_by_urllib=lambda: urllib.error.URLError(ssl.SSLCertVerificationError("self-signed")),
            certificate_by_requests=lambda: _requests("SSLError", ssl.SSLCertVerificationError("self-signed")),
        ),
    ),
    Kind(
        "Before the work: a file that is not of its format, a package that is not installed, a query with an error",
        AT_ONCE,
        mistakes(
            package=lambda: ModuleNotFoundError("No module named 'deltalake'"),
            shared_library=lambda: OSError("libcudart.so.12: cannot open shared object file: No such file"),
            build_without_Azure=lambda: NotImplementedError("not built with Azure"),
            format_of_a_file=lambda: __import__("pyarrow").ArrowInvalid("Parquet magic bytes not found in footer"),
            format_read_by_a_task=lambda: _in_a_task(ValueError("no parquet")),
            footer_of_a_parquet_file=lambda: _parquet(lambda raw: raw[:-60] + b"\x0f" * 52 + raw[-8:]),
            pages_of_a_parquet_file=lambda: _parquet(lambda raw: raw[:30] + b"\xff" * 300 + raw[330:]),
            pages_packed_by_gzip=lambda: _parquet(lambda raw: raw[:40] + b"\xff" * 300 + raw[340:], "gzip"),
            pages_packed_by_zstd=lambda: _parquet(lambda raw: raw[:40] + b"\xff" * 300 + raw[340:], "zstd"),
            pages_packed_by_brotli=lambda: _parquet(lambda raw: raw[:40] + b"\xff" * 300 + raw[340:], "brotli"),
            encrypted_parquet=lambda: _parquet(lambda raw: b"PARE" + raw[4:-4] + b"PARE"),
            no_gz=lambda: _packed("gzip"),
            no_bz2=lambda: _packed("bz2"),
            no_zstd=lambda: _packed("zstd", b"abc" * 10),
            no_lz4=lambda: _packed("lz4", b"abc" * 10),
            half_of_a_gz=lambda: _packed("gzip", gzip.compress(b"a,b\n" + b"1,2\n" * 1000)[:40]),
            no_ORC=lambda: _orc(b"abcdefghijk"),
            an_empty_ORC=lambda: _orc(b"\x03" * 20),
            no_gz_read_by_Python=lambda: _done(gzip.decompress, b"abcdef"),
            no_xz=lambda: _done(lzma.decompress, b"abcdef"),
            no_zip=lambda: _done(zipfile.ZipFile, io.BytesIO(b"abcdef")),
            no_image=lambda: __import__("PIL.Image").Image.open(io.BytesIO(b"abc")),
            written_though_open_to_read=lambda: _done(io.BufferedReader(io.BytesIO()).write, b"x"),
            function_of_SQLite=lambda: _sqlite("SELECT median_of(1)"),
            ambiguous_column_of_SQLite=lambda: _sqlite("SELECT id FROM t AS a, t AS b"),
            token_of_SQLite=lambda: _sqlite("SELECT @"),
            half_a_query_of_SQLite=lambda: _sqlite("SELECT"),
            number_of_columns_of_SQLite=lambda: _sqlite("SELECT 1 UNION SELECT 1, 2"),
            number_of_values_of_SQLite=lambda: _sqlite("INSERT INTO t VALUES (1, 2)"),
            aggregate_of_SQLite=lambda: _sqlite("SELECT sum(sum(id)) FROM t"),
            order_of_SQLite=lambda: _sqlite("SELECT id FROM t ORDER BY 5"),
            function_of_SQLite_told_by_SQLAlchemy=lambda: _sqlite_by("SQLAlchemy"),
            function_of_SQLite_told_by_pandas=lambda: _sqlite_by("pandas"),
            function_of_SQLite_on_Python_3_9=lambda: _sqlite_says("no such function: median_of"),
            ambiguous_column_on_Python_3_9=lambda: _sqlite_says("ambiguous column name: id"),
            token_on_Python_3_9=lambda: _sqlite_says('unrecognized token: "@"'),
            half_a_query_on_Python_3_9=lambda: _sqlite_says("incomplete input"),
            number_of_columns_on_Python_3_9=lambda: _sqlite_says(
                "SELECTs to the left and right of UNION do not have the same number of result columns"
            ),
            number_of_values_on_Python_3_9=lambda: _sqlite_says("table t has 1 columns but 2 values were supplied"),
            syntax=lambda: _sql("SyntaxError"),
            syntax_told_by_pandas=lambda: _by_pandas("SyntaxError"),
            division=lambda: _sql("DivisionByZero"),
            driver_of_nobody=lambda: __import__("sqlalchemy").exc.NoSuchModuleError("Can't load plugin"),
            names_that_collide=lambda: _feast("FeatureNameCollisionError", ["count"], False),
        ),
    ),
    Kind(
        "S3 or Google Cloud Storage that does not answer, answers 5xx or 429, or takes too long",
        AGAIN,
        outages(
            S3_says_503=lambda: _arrow_s3("UNKNOWN (HTTP status 503) during HeadObject operation: No response body."),
            S3_says_500=lambda: _arrow_s3("INTERNAL_FAILURE during CreateMultipartUpload operation: m"),
            S3_says_429=lambda: _arrow_s3("UNKNOWN (HTTP status 429) during HeadObject operation: No response body."),
            S3_says_slow_down=lambda: _arrow_s3("SLOW_DOWN during CreateMultipartUpload operation: m"),
            S3_sees_another_clock=lambda: _arrow_s3(
                "REQUEST_TIME_TOO_SKEWED during CreateMultipartUpload operation: m"
            ),
            S3_refuses_connections=lambda: _arrow_s3("NETWORK_CONNECTION during HeadObject operation: curlCode: 7, x"),
            region_cannot_be_asked=lambda: OSError(
                "When resolving region for bucket 'b': AWS Error NETWORK_CONNECTION during HeadBucket operation: "
                "curlCode: 6, Could not resolve hostname"
            ),
            Google_says_503=lambda: OSError(GCS.format("UNAVAILABLE")),
            Google_is_late=lambda: OSError(GCS.format("DEADLINE_EXCEEDED")),
            boto_finds_no_endpoint=lambda: _botocore("EndpointConnectionError", endpoint_url="http://s3"),
            boto_connects_too_slowly=lambda: _botocore("ConnectTimeoutError", endpoint_url="http://s3"),
            boto_reads_too_slowly=lambda: _botocore("ReadTimeoutError", endpoint_url="http://s3"),
            boto_is_told_503=lambda: _aws("ServiceUnavailable", 503),
            boto_is_told_to_slow_down=lambda: _aws("SlowDown", 503),
            boto_is_throttled=lambda: _aws("ThrottlingException", 400),
            boto_is_throttled_by_STS=lambda: _aws("ThrottledException", 400),
            boto_asks_too_often=lambda: _aws("TooManyRequestsException", 400),
            boto_is_over_its_limit=lambda: _aws("RequestLimitExceeded", 400),
            boto_has_another_clock=lambda: _aws("RequestTimeTooSkewed", 403),
            boto_HEAD_is_told_503=lambda: _aws("503", 503),
            boto_is_throttled_by_SQS=lambda: _aws("RequestThrottled", 403),
            boto_is_over_its_bandwidth=lambda: _aws("BandwidthLimitExceeded", 400),
            boto_is_over_its_limit_of_Kinesis=lambda: _aws("LimitExceededException", 400),
            boto_asks_while_another_request_goes_on=lambda: _aws("PriorRequestNotComplete", 400),
            boto_asks_while_a_transaction_goes_on=lambda: _aws("TransactionInProgressException", 400),
            boto_is_throttled_by_EC2=lambda: _aws("EC2ThrottledException", 400),
            boto_is_too_slow=lambda: _aws("RequestTimeoutException", 400),
            boto_login_is_away=lambda: _aws("IDPCommunicationError", 400),
            boto_sees_a_failure=lambda: _aws("InternalFailure", 400),
            boto_is_told_unavailable=lambda: _aws("ServiceUnavailableException", 400),
            boto_reads_half_an_answer=lambda: _botocore("IncompleteReadError", actual_bytes=1, expected_bytes=2),
            metadata_server_is_late=lambda: _botocore("MetadataRetrievalError", error_msg="x"),
            Google_client_is_told_503=lambda: _google("ServiceUnavailable"),
            Google_client_is_told_429=lambda: _google("TooManyRequests"),
            Google_client_is_over_its_rate=lambda: _google("Forbidden", "rateLimitExceeded"),
            Google_client_is_over_its_quota=lambda: _google("Forbidden", "quotaExceeded"),
            Google_client_is_over_the_jobs_rate=lambda: _google("BadRequest", "jobRateLimitExceeded"),
            Google_tokens_are_away=lambda: _google_auth("TransportError"),
            Google_tokens_may_come=lambda: _google_auth("RefreshError", retryable=True),
        ),
    ),
    Kind(
        "A database, a Feast registry, a tracker, a proxy or a name server that is away, starts, or has no room",
        AGAIN,
        outages(
            connection_refused=lambda: ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
            connection_reset=lambda: ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
            host_unreachable=lambda: _os(errno.EHOSTUNREACH),
            name_server_is_away=lambda: socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
            name_is_not_known=lambda: socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            too_late=lambda: TimeoutError("timed out"),
            stale_file_handle=lambda: _os(errno.ESTALE),
            disk_of_a_file_server=lambda: _os(errno.EIO),
            database_refuses_connections=lambda: _sql("OperationalError", "connection refused"),
            database_starts=lambda: _sql("CannotConnectNow"),
            database_is_shut_down=lambda: _sql("AdminShutdown"),
            database_has_no_slot=lambda: _sql("TooManyConnections"),
            database_has_a_deadlock=lambda: _sql("DeadlockDetected"),
            database_is_locked=lambda: __import__("sqlite3").OperationalError("database is locked"),
            pool_is_empty=lambda: __import__("sqlalchemy").exc.TimeoutError("QueuePool limit reached"),
            registry_bucket_says_503=lambda: _feast("S3RegistryBucketForbiddenAccess", "b", because=_aws("503", 503)),
            registry_object_says_503=lambda: _feast(
                "FeastObjectNotFoundException", "no registry", because=_aws("ServiceUnavailable", 503)
            ),
            registry_server_is_away=lambda: _grpc("UNAVAILABLE"),
            query_that_still_runs=lambda: _feast("BigQueryJobStillRunning", "job"),
            page_502=lambda: _http(502),
            page_503=lambda: _httpx(503),
            page_429=lambda: _http(429),
            proxy=lambda: _requests("ProxyError"),
            requests_refused=lambda: _requests("ConnectionError", ConnectionRefusedError()),
            requests_late=lambda: _requests("ReadTimeout"),
            httpx_refused=lambda: __import__("httpx").ConnectError("All connection attempts failed"),
            answer_whose_error_has_no_text=_answer_without_a_text,
            broken_answer=lambda: __import__("http.client").client.IncompleteRead(b""),
            W_and_B_is_late=lambda: _wandb("CommError", "Timed out while retrying: HTTP 503: m"),
            W_and_B_refuses_connections=lambda: _wandb(
                "CommError", "Timed out while retrying: Post: connection refused"
            ),
        ),
    ),
    Kind(
        "A Ray node or worker that dies, or an object that is lost, while a schema is read",
        AGAIN,
        outages(
            node=lambda: _ray("NodeDiedError", "the node died"),
            worker=lambda: _ray("WorkerCrashedError"),
            actor=lambda: _ray("ActorDiedError"),
            raylet=lambda: _ray("LocalRayletDiedError"),
            memory_of_a_node=lambda: _ray("OutOfMemoryError", "killed by the memory monitor"),
            disk=lambda: _ray("OutOfDiskError", "no space"),
            object=lambda: _ray("ObjectLostError", "00ff", None, ""),
            answer=lambda: _ray("GetTimeoutError", "late"),
            storage_read_by_a_task=lambda: _in_a_task(_arrow_s3("SLOW_DOWN during GetObject operation: m")),
        ),
    ),
    Kind(
        "Credentials that have expired",
        "Not asked again with these: by Airflow's retries, which bring new ones",
        expired(
            token_on_S3=lambda: _arrow_s3(
                "UNKNOWN (HTTP status 400) during PutObject operation: Unable to parse ExceptionName: ExpiredToken"
            ),
            token_that_a_HEAD_does_not_name=lambda: _arrow_s3(
                "UNKNOWN (HTTP status 400) during HeadObject operation: No response body."
            ),
            token_on_Google=lambda: PermissionError(errno.EACCES, GCS.format("UNAUTHENTICATED")),
            token_by_botocore=lambda: _aws("ExpiredToken", 400),
            request_by_botocore=lambda: _aws("RequestExpired", 400),
            HEAD_by_botocore=lambda: _aws("400", 400),
            status_401_by_botocore=lambda: _aws("Unauthorized", 401),
            Google_client_is_told_401=lambda: _google("Unauthorized"),
            registry_bucket_says_expired=lambda: _feast(
                "S3RegistryBucketForbiddenAccess", "c", because=_aws("ExpiredToken", 400)
            ),
            page_401=lambda: _http(401),
            remote_registry=lambda: _grpc("UNAUTHENTICATED"),
            Google_refresh=lambda: _google_auth("RefreshError"),
        ),
    ),
]

ENDS = [
    Kind(
        "A driver that the operating system killed (memory), a node or a head that died, a cluster without room for it",
        "This try failed; Airflow's retries apply, and resume where the workload can",
        {
            "killed": Ended({"exit_code": -9, "error_type": "JOB_ENTRYPOINT_COMMAND_ERROR"}, "JobFailedError"),
            "killed, told in words": Ended(
                {"exit_code": None, "message": "Job entrypoint command failed with exit code -9"}, "JobFailedError"
            ),
            "killed by its node": Ended({"exit_code": 137}, "JobFailedError"),
            "supervisor died": Ended({"error_type": "JOB_SUPERVISOR_ACTOR_DIED"}, "JobInfrastructureError"),
            "supervisor died with a log of our number": Ended(
                {
                    "exit_code": None,
                    "error_type": "JOB_SUPERVISOR_ACTOR_DIED",
                    "message": "The node died. A child had exit code 64",
                },
                "JobInfrastructureError",
                {"type": "KeyError", "message": "'y'"},
            ),
            "supervisor did not start": Ended(
                {"error_type": "JOB_SUPERVISOR_ACTOR_START_FAILURE"}, "JobInfrastructureError"
            ),
            "supervisor started too late": Ended(
                {"error_type": "JOB_SUPERVISOR_ACTOR_START_TIMEOUT"}, "JobInfrastructureError"
            ),
            "no room": Ended({"error_type": "JOB_SUPERVISOR_ACTOR_UNSCHEDULABLE"}, "JobInfrastructureError"),
            "nobody knows": Ended({"error_type": "JOB_SUPERVISOR_ACTOR_UNKNOWN_FAILURE"}, "JobInfrastructureError"),
            "packages cannot be installed": Ended(
                {"error_type": "RUNTIME_ENV_SETUP_FAILURE"}, "JobInfrastructureError"
            ),
            "away": Ended(
                {"exit_code": 69},
                "JobInfrastructureError",
                {"type": "Unavailable", "message": "storage_path: S3 says 503"},
            ),
            "a script of the user's that ends with the same number": Ended(
                {"exit_code": 69}, "JobFailedError", {"type": "SystemExit", "message": "69"}
            ),
        },
    )
]

ROOM = [
    Kind(
        "Workers on GPUs or TPUs, on nodes without a spare CPU",
        "Counted as Ray counts: a GPU or a TPU, and no CPU unless you ask for one",
        {
            "GPU": Asked({"num_workers": 2, "use_gpu": True}, {"GPU": 1}),
            "GPU and a CPU": Asked({"use_gpu": True, "resources_per_worker": {"CPU": 1}}, {"CPU": 1, "GPU": 1}),
            "half a GPU": Asked({"use_gpu": True, "resources_per_worker": {"GPU": 0.5}}, {"GPU": 0.5}),
            "no CPU": Asked({"use_gpu": True, "resources_per_worker": {"CPU": 0, "GPU": 1}}, {"GPU": 1}),
            "TPU": Asked({"use_tpu": True}, {"TPU": 1}),
            "TPUs": Asked({"use_tpu": True, "resources_per_worker": {"TPU": 4}}, {"TPU": 4}),
            "accelerator": Asked(
                {"use_gpu": True, "accelerator_type": "A100"}, {"GPU": 1, "accelerator_type:A100": 0.001}
            ),
            "CPU": Asked({"num_workers": 3}, {"CPU": 1}),
            "memory": Asked({"resources_per_worker": {"CPU": 1, "memory": 1e9}}, {"CPU": 1, "memory": 1e9}),
        },
    ),
]
# What has been seen of the work once the time is over, and whether the watch ends it.
GROWTH = [
    Kind(
        "A cluster that does not grow within `resources_timeout_seconds`",
        "By Airflow's retries; work that has reported, or whose workers have their places, goes on undisturbed. A "
        "cluster of a fixed size that is too small fails at once, before the work",
        {"nothing": "retried", "another job's places": "retried", "a trial's small place": "retried"},
    ),
    Kind(
        "Work that runs though the cluster's totals are less than what it asked for",
        "Goes on",
        {"a metric": "goes on", "a checkpoint": "goes on", "rows": "goes on", "its own places": "goes on"},
    ),
]

ATTACHMENTS = [
    Kind(
        "Before the job, in Airflow: a tracker or a feature store that is away",
        "Asked again for 45 s, then by Airflow's retries; with `required=False` the job goes on without it",
        {
            "at the look": Away(["probe"], "retried"),
            "at the start of its run": Away(["before_submit"], "retried"),
            "at the connection": Away(["open"], "retried"),
            "not required": Away(["open", "probe", "before_submit"], "succeeds", required=False),
        },
    ),
    Kind(
        "Before the job, in Airflow: a tracker, a feature store or a storage that refuses",
        AT_ONCE,
        {
            "refused at the look": Away(["probe"], "fails", "refused"),
            "refused, though it is not required": Away(["probe"], "fails", "refused", required=False),
            "refused at the start of its run": Away(["before_submit"], "fails", "refused"),
        },
    ),
    Kind(
        "After the job has succeeded: a tracker or a feature store that is away, or refuses",
        "The task succeeds; a warning says so, and the ledger's attempt keeps it as `untold`",
        {
            "away at the end": Away(["on_end"], "succeeds"),
            "refuses the end": Away(["on_end"], "succeeds", "refused"),
            "away for the records": Away(["on_records"], "succeeds"),
            "refuses the records": Away(["on_records"], "succeeds", "refused"),
            "refuses the end, not required": Away(["on_end"], "succeeds", "refused", required=False),
        },
    ),
]

TRACKERS = [
    Kind(
        "W&B that is away when the driver opens its run",
        "Asked again for as long as W&B itself does (`WANDB_INIT_TIMEOUT`), then by Airflow's retries; with "
        "`required=False` the work goes on, and the log says so",
        {
            "nobody listens": Tracked(0, 69),
            "it answers 503": Tracked(503, 69),
            "nobody listens, not required": Tracked(0, 0, {"RAY_AIRFLOW_WANDB_OPTIONAL": "1"}),
            "it answers 503, not required": Tracked(503, 0, {"RAY_AIRFLOW_WANDB_OPTIONAL": "1"}),
            "it refuses the run": Tracked(403, 64),
            "it refuses the run, not required": Tracked(403, 64, {"RAY_AIRFLOW_WANDB_OPTIONAL": "1"}),
        },
    ),
]
# What the tracker does when it is given the end of a run, and the job's exit code.
FINISHES = [
    Kind(
        "W&B that does not take the end of a run",
        "Waited for until the job's own time is over, at most ten minutes; the job ends as its work did",
        {"it hangs": 0, "it fails": 0, "it hangs after a failure": 1},
    )
]
# What is done with a storage, and whether it answers again in time.
DURING = [
    Kind(
        "A storage that is away when a result, the history or the output is written, or a checkpoint is looked for",
        "Asked again for a minute, so that finished work is not lost; then by Airflow's retries, from there",
        {"write": True, "read": True, "list": True, "commit": True, "write in vain": False, "read in vain": False},
    )
]

KINDS = [*ERRORS, *DURING, *TRACKERS, *FINISHES, *GROWTH, *ROOM, *ENDS, *ATTACHMENTS]
