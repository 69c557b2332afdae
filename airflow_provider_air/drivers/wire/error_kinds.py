"""
Mistake or outage: whether asking again may mend what another service, its client library, or Ray has raised.

Classes are known by their names, as few of their libraries are on a cluster. Standard library only.
Sources: pyarrow 25, botocore 1.44, google-api-core 2.44, SQLAlchemy 2.1, psycopg 3.3, Feast 0.67, wandb 0.31, Ray 2.60.
"""

from __future__ import annotations

import contextlib
import errno
import re
from typing import Any, Dict, Iterator, List, Optional, Tuple

from .failures import said_by

MISTAKE = "mistake"
OUTAGE = "outage"
# Mended by a retry, which brings new credentials, but not by asking again with these.
EXPIRED = "expired"


def kind_of(error: BaseException) -> Optional[str]:
    """
    Give :data:`MISTAKE`, :data:`OUTAGE` or :data:`EXPIRED`; None where nobody knows. This raises nothing.

    Of an error and all that led to it, an outage decides: Feast tells of a bucket that answered 503 as forbidden.
    But a certificate that is not trusted is no outage, though clients tell of a failed connection.
    """
    kinds = {_kind_of_one(each) for each in chain(error)}
    if any(type(each).__name__ in _CERTIFICATES for each in chain(error)):
        return MISTAKE
    return next((kind for kind in (OUTAGE, EXPIRED, MISTAKE) if kind in kinds), None)


def mistake_in(error: BaseException) -> Optional[BaseException]:
    """Give the outermost mistake of an error and all that led to it; None where it is none at all."""
    if kind_of(error) != MISTAKE:
        return None
    return next((each for each in chain(error) if _kind_of_one(each) == MISTAKE), error)


def chain(error: BaseException) -> Iterator[BaseException]:
    """Give an error and all that led to it, the outermost first; also of Ray's, which keep a worker's as ``cause``."""
    seen: List[BaseException] = []
    queue: List[Any] = [error]
    while queue:
        each = queue.pop(0)
        if isinstance(each, BaseException) and not any(each is known for known in seen):
            seen.append(each)
            yield each
            context = None if each.__suppress_context__ else each.__context__
            queue += [each.__cause__, context, *(_attribute(each, name) for name in ("cause", "orig", "reason"))]


def _kind_of_one(error: BaseException) -> Optional[str]:
    if isinstance(_attribute(error, "orig"), BaseException):
        return None  # SQLAlchemy's, which says less than the database's own
    for look in (_by_reason, _by_status, _by_sql_state, _by_sqlite, _by_errno, _by_words, _by_name):
        with contextlib.suppress(Exception):  # some fail when they are asked what they are
            kind = look(error)
            if kind is not None:
                return kind
    return None


def _attribute(error: Any, name: str) -> Any:
    with contextlib.suppress(Exception):  # a property may fail
        return getattr(error, name, None)
    return None


# By HTTP status, of what answered, and by what Google says of a 403


def _by_reason(error: Any) -> Optional[str]:
    for name in ("errors", "error_details"):
        details = getattr(error, name, None)
        if isinstance(details, (list, tuple)):
            reasons = [str(each.get("reason")) for each in details if isinstance(each, dict)]
            return OUTAGE if any(map(_GOOGLE_AWAY.search, reasons)) else None
    return None


_GOOGLE_AWAY = re.compile(r"(?:backend|internal)Error$|badGateway$|(?:rateLimit|quota)Exceeded$", re.IGNORECASE)


def _by_status(error: Any) -> Optional[str]:
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore
        code = str((response.get("Error") or {}).get("Code"))
        return kind_of_aws(code, (response.get("ResponseMetadata") or {}).get("HTTPStatusCode"))
    for holder in (error, response):
        for name in ("status_code", "status", "code"):
            kind = _kind_of_code(getattr(holder, name, None))
            if kind is not None:
                return kind
    return None


def kind_of_aws(code: str, status: Optional[int] = None) -> Optional[str]:
    """Give what :func:`kind_of` does, of what AWS has answered: a code, which without a body is the status, too."""
    return _AWS_CODES.get(code) or _kind_of_status(status if isinstance(status, int) else _number(code))


def _kind_of_code(code: Any) -> Optional[str]:
    if isinstance(code, int):
        return _kind_of_status(int(code))
    if callable(code):  # gRPC
        try:
            code = code()
        except Exception:
            return None
    return _STATUSES.get(str(getattr(code, "name", "")))


def _kind_of_status(status: Optional[int]) -> Optional[str]:
    if status is None or not 300 <= status < 600:
        return None
    if status == 401:
        return EXPIRED
    return OUTAGE if status in (408, 409, 425, 429) or (status >= 500 and status not in (501, 505)) else MISTAKE


def _number(text: str) -> Optional[int]:
    return int(text) if text.isdigit() else None


_AWS_CODES: Dict[str, str] = {
    **dict.fromkeys(["ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"], EXPIRED),
    # Of a HEAD, whose answer names no expired token.
    "400": EXPIRED,
    # Of botocore's own list (data/_retry.json), whatever the status; and of those that come without one.
    **dict.fromkeys(
        [
            "BadDigest",
            "BandwidthLimitExceeded",
            "EC2ThrottledException",
            "IDPCommunicationError",
            "InternalError",
            "InternalFailure",
            "LimitExceededException",
            "PriorRequestNotComplete",
            "ProvisionedThroughputExceededException",
            "ReplicatedWriteConflictException",
            "RequestLimitExceeded",
            "RequestThrottled",
            "RequestThrottledException",
            "RequestTimeTooSkewed",
            "RequestTimeout",
            "RequestTimeoutException",
            "ServiceUnavailable",
            "ServiceUnavailableException",
            "SlowDown",
            "ThrottledException",
            "Throttling",
            "ThrottlingException",
            "TooManyRequestsException",
            "TransactionInProgressException",
        ],
        OUTAGE,
    ),
}
# Google's words for the outcome of a call, which gRPC has, too.
_STATUSES: Dict[str, str] = {
    "UNAUTHENTICATED": EXPIRED,
    **dict.fromkeys(["UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "INTERNAL"], OUTAGE),
    **dict.fromkeys(
        [
            "ALREADY_EXISTS",
            "FAILED_PRECONDITION",
            "INVALID_ARGUMENT",
            "NOT_FOUND",
            "OUT_OF_RANGE",
            "PERMISSION_DENIED",
            "UNIMPLEMENTED",
        ],
        MISTAKE,
    ),
}

# By what a database says, where it answered


def _by_sql_state(error: Any) -> Optional[str]:
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if not isinstance(state, str) or len(state) != 5:
        return None
    return OUTAGE if state[:2] in _SQL_AWAY else MISTAKE if state[:2] in _SQL_REFUSED else None


# Connections, resources, locks and orders of an operator's; logins, names, data and syntax.
_SQL_AWAY = ("08", "40", "53", "55", "57", "58", "XX")
_SQL_REFUSED = ("0A", "22", "23", "26", "28", "3D", "3F", "42")


def _by_sqlite(error: Any) -> Optional[str]:
    code = getattr(error, "sqlite_errorcode", None)  # since Python 3.11
    return MISTAKE if isinstance(code, int) and code & 0xFF in _SQLITE_REFUSED else None


# A query's error, a database that cannot be written, is damaged, cannot be opened, or is none.
_SQLITE_REFUSED = (1, 8, 11, 14, 26)

# By number, of the operating system


def _by_errno(error: BaseException) -> Optional[str]:
    return MISTAKE if isinstance(error, OSError) and error.errno in _ERRNO_REFUSED else None


_ERRNO_REFUSED = (errno.ELOOP, errno.ENAMETOOLONG, errno.EROFS)

# By words, where a library has one class for everything


def _by_words(error: BaseException) -> Optional[str]:
    text = said_by(error)
    s3 = _ARROW_S3.search(text)
    if s3:
        return _kind_of_arrow_s3(*s3.groups())
    google = _ARROW_GCS.search(text)
    if google:
        return _STATUSES.get(google[1])
    names = {kind.__name__ for kind in type(error).__mro__}
    return next((kind for name, sign, kind in _WORDS if name in names and sign.search(text)), None)


def _kind_of_arrow_s3(code: str, status: Optional[str], operation: str, rest: str) -> Optional[str]:
    if "Expired" in rest or code == "REQUEST_EXPIRED":
        return EXPIRED
    # What answers a HEAD has no body, so that an expired token is not named.
    if status == "400" and operation.startswith("Head"):
        return EXPIRED
    if status:
        return _kind_of_status(int(status))
    return MISTAKE if code in _ARROW_S3_REFUSED else OUTAGE


_ARROW_S3 = re.compile(r"AWS Error (\w+)(?: \(HTTP status (\d+)\))? during (\w+) operation(.*)", re.DOTALL)
_ARROW_S3_REFUSED = (
    "ACCESS_DENIED",
    "INVALID_ACCESS_KEY_ID",
    "INVALID_SIGNATURE",
    "MISSING_AUTHENTICATION_TOKEN",
    "NO_SUCH_BUCKET",
    "NO_SUCH_KEY",
    "OPT_IN_REQUIRED",
    "RESOURCE_NOT_FOUND",
    "SIGNATURE_DOES_NOT_MATCH",
    "UNRECOGNIZED_CLIENT",
    "VALIDATION",
)
_ARROW_GCS = re.compile(r"google::cloud::Status\((\w+):")
# Class, words, kind.
_WORDS: List[Tuple[str, Any, str]] = [
    # The dynamic linker.
    ("OSError", re.compile(r"cannot open shared object file|Unable to load lib"), MISTAKE),
    ("OSError", re.compile(r"is a directory$|is not a directory$"), MISTAKE),
    # Arrow, of a file that is damaged, encrypted, or not of its format.
    ("OSError", re.compile(r"deserialize thrift|[Cc]orrupt |encrypted metadata|flatbuffer"), MISTAKE),
    ("OSError", re.compile(r"(?:in|de)(?:flate|compress|compression) failed|failed to decompress|GZipCodec"), MISTAKE),
    ("OSError", re.compile(r"Truncated compressed|Unexpected end of stream"), MISTAKE),
    ("OSError", re.compile(r"\bORC\b|Failed to parse the (?:footer|postscript)|bad StripeFooter"), MISTAKE),
    # DuckDB, which reads files that are not there.
    ("IOException", re.compile(r"No files found|No such file or directory"), MISTAKE),
    # Postgres and MySQL, before there is a session that would have an SQLSTATE; SQLite.
    ("OperationalError", re.compile(r"password authentication failed|no password supplied|Access denied"), MISTAKE),
    ("OperationalError", re.compile(r'(?:database|role) ".*" does not exist|Unknown database|pg_hba\.conf'), MISTAKE),
    ("OperationalError", re.compile(r"no such \w+: |unable to open database|syntax error|readonly database"), MISTAKE),
    ("OperationalError", re.compile(r"ambiguous column|unrecognized token|incomplete input|duplicate column"), MISTAKE),
    ("OperationalError", re.compile(r"already exists$|\d+ columns? but|values for \d+ column|misuse of"), MISTAKE),
    ("OperationalError", re.compile(r"number of (?:result columns|arguments)|term out of range"), MISTAKE),
    # W&B tells apart only what it has asked again until its own time was over.
    ("CommError", re.compile(r"timed out|timeout|HTTP 5\d\d|network|connection", re.IGNORECASE), OUTAGE),
]

# By class, the nearest one first


def _by_name(error: BaseException) -> Optional[str]:
    if getattr(error, "retryable", False) is True:  # google-auth
        return OUTAGE
    return next((_NAMES[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in _NAMES), None)


_CERTIFICATES = ("ClientConnectorCertificateError", "SSLCertVerificationError")
_NAMES: Dict[str, Optional[str]] = {
    # Of PEP 249, and pandas', which is an OSError: what it says is said by what it was made of.
    "DatabaseError": None,
    **dict.fromkeys(
        [
            # Python, and Arrow, whose classes are of these.
            "AttributeError",
            "BadGzipFile",
            "BadZipFile",
            "FileExistsError",
            "FileNotFoundError",
            "ImportError",
            "IsADirectoryError",
            "LZMAError",
            "LookupError",
            "NameError",
            "NotADirectoryError",
            "NotImplementedError",
            "PermissionError",
            "SyntaxError",
            "TypeError",
            "UnidentifiedImageError",
            "UnsupportedOperation",
            "ValueError",
            # HTTP clients, AWS, Google.
            "ConfigNotFound",
            "DefaultCredentialsError",
            "InvalidHeader",
            "InvalidRegionError",
            "InvalidSchema",
            "InvalidURL",
            "LocalProtocolError",
            "MissingSchema",
            "NoCredentialsError",
            "NoRegionError",
            "ParamValidationError",
            "PartialCredentialsError",
            "ProfileNotFound",
            "UnsupportedProtocol",
            # Databases (PEP 249), SQLAlchemy, Spark, Trino.
            "AnalysisException",
            "ArgumentError",
            "DataError",
            "IntegrityError",
            "InvalidRequestError",
            "NotSupportedError",
            "ParseException",
            "ProgrammingError",
            "TrinoUserError",
            # Feast, W&B, Redis: some of the latter are classes of a failed connection.
            "AuthenticationError",
            "AuthorizationError",
            "CommError",
            "FeastError",
            "UsageError",
            "WandbCoreNotAvailableError",
        ],
        MISTAKE,
    ),
    **dict.fromkeys(["FeastProviderLoginError", "RefreshError"], EXPIRED),
    **dict.fromkeys(
        [
            "ConnectionError",
            "HTTPException",
            "OSError",
            "TimeoutError",
            "Unavailable",
            # HTTP clients.
            "ClientConnectionError",
            "ClientPayloadError",
            "ConnectTimeout",
            "HTTPError",
            "HTTPClientError",
            "RequestException",
            "TransportError",
            # AWS, Google.
            "ConnectionClosedError",
            "CredentialRetrievalError",
            "IncompleteReadError",
            "MetadataRetrievalError",
            "ResponseStreamingError",
            "RetryError",
            # Databases (PEP 249).
            "InterfaceError",
            "InternalError",
            "OperationalError",
            # Feast.
            "BigQueryJobStillRunning",
            "ConcurrentVersionConflict",
            "RedshiftQueryError",
            "SnowflakeQueryError",
            "SnowflakeQueryUnknownError",
            # W&B, asked by ourselves.
            "ServerAway",
            # Ray: of a node, a worker or an object that is gone, or has no room.
            "ActorPlacementGroupRemoved",
            "GetTimeoutError",
            "LocalRayletDiedError",
            "NodeDiedError",
            "ObjectLostError",
            "ObjectStoreFullError",
            "OutOfDiskError",
            "OutOfMemoryError",
            "RayActorError",
            "RaySystemError",
            "RpcError",
            "TaskPlacementGroupRemoved",
            "WorkerCrashedError",
        ],
        OUTAGE,
    ),
}
