"""Whom our HTTP clients trust: one rule for all of them."""

from __future__ import annotations

import functools
import os
import ssl
from pathlib import Path

from airflow_provider_air.errors import ConfigurationError


def context_for(base_url: str, verify: bool | str, client_certificate: tuple[str, str] | None = None) -> ssl.SSLContext:
    """
    Give the TLS settings of a client, as httpx takes them.

    :param base_url: the server's address
    :param verify: True for the system's CAs: OpenSSL's default places, or what ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``
        name; only where the system has none at all, those that come with Python (certifi). A path for another CA
        bundle, False to accept any certificate
    :param client_certificate: paths of a certificate and its key, for servers that want one
    :raises ConfigurationError: a file cannot be read; the message names it
    """
    if verify is True and base_url.startswith("http://"):
        # Plain HTTP needs no authorities. Should anything be sent by TLS after all, this context trusts nobody.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if verify is True and client_certificate is None:
        # Reading them takes some 30 ms: once per process, not once per client.
        return _shared_system_context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
    context = _own_context(verify)
    if client_certificate is not None:
        _show_certificate(context, *client_certificate)
    return context


def bundle_of(verify: bool | str) -> bytes | None:
    """
    Give the CA bundle that a connection names, for those who trust it on another machine; None where it names none.

    :raises ConfigurationError: it cannot be read
    """
    if isinstance(verify, bool):
        return None
    try:
        return Path(verify).read_bytes()
    except OSError as error:
        raise _unreadable(verify, error) from error


def _unreadable(verify: str, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"The CA bundle cannot be read: {error}", where=verify, hint="Fix 'ca_path' in the connection"
    )


@functools.cache
def _shared_system_context(file: str | None, folder: str | None) -> ssl.SSLContext:
    """Give one context per setting of the environment, which OpenSSL itself reads."""
    return _system_context()


def _system_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not _has_authorities(context):
        import certifi

        context.load_verify_locations(certifi.where())
    return context


def _has_authorities(context: ssl.SSLContext) -> bool:
    if os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR") or context.cert_store_stats()["x509_ca"]:
        return True
    # What lies in a folder is read when it is needed, so it is not counted yet.
    folder = ssl.get_default_verify_paths().capath
    return folder is not None and any(Path(folder).iterdir())


def _own_context(verify: bool | str) -> ssl.SSLContext:
    if verify is True:
        return _system_context()
    if verify is False:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        return ssl.create_default_context(cafile=verify)
    except (OSError, ssl.SSLError) as error:
        raise _unreadable(verify, error) from error


def _show_certificate(context: ssl.SSLContext, certificate: str, key: str) -> None:
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"The client certificate or its key cannot be read: {error}",
            where=certificate,
            hint="Fix the client's certificate and key in the connection",
        ) from error
