"""
Asks the exec plug-in of a kubeconfig's user for its token or certificate, by the package "kubernetes", within a time.

Not within that package's own reading (36.0): that waits for ever for a plug-in that waits for a person or a network,
writes what went wrong to the log alone, and forgets when the token ends.
"""

from __future__ import annotations

import base64
import os
import shutil
import sys
from collections.abc import Mapping
from typing import Any

from airflow_provider_air.errors import ConfigurationError, UnavailableError

PATIENCE_SECONDS = 30.0
# Its children hold its output open: they end with it. A person's terminal stays that of who may ask on it.
WITHIN = """
import os, signal, subprocess, sys
alone = not (sys.stdin and sys.stdin.isatty())
plug_in = subprocess.Popen(sys.argv[2:], start_new_session=alone)
try:
    sys.exit(plug_in.wait(float(sys.argv[1])))
except subprocess.TimeoutExpired:
    os.killpg(plug_in.pid, signal.SIGKILL) if alone else plug_in.kill()
    sys.exit("it did not end within %s s" % sys.argv[1])
"""


def fill_credentials(user: Any, cluster: Any, folder: str, where: str) -> float | None:
    """
    Replace the plug-in of a user by what it gives; blocks for at most :data:`PATIENCE_SECONDS`.

    :param user, cluster: of the kubeconfig, as "kubernetes" has them (ConfigNode); the user's value is changed
    :param folder: of the kubeconfig, from which a relative command starts; empty where it is no file
    :param where: the connection, for messages
    :returns: when what it gave ends, in epoch seconds, or None
    :raises ConfigurationError: there is no such command on this host
    :raises UnavailableError: it failed, took too long, or gave nothing
    """
    from kubernetes.config.exec_provider import ExecProvider

    provider = ExecProvider(user["exec"], folder, cluster)
    command = str(provider.args[0])
    # As the operating system looks for it: by PATH where it is a bare name.
    place = os.path.join(folder, command) if os.path.dirname(command) else command
    if shutil.which(place, path=provider.env.get("PATH")) is None:
        raise ConfigurationError(
            f"The exec plug-in {command!r} of the kubeconfig is not on this host",
            where=where,
            hint="Install it wherever workers and triggerers run, or use a token",
        )
    provider.args = [sys.executable, "-c", WITHIN, f"{PATIENCE_SECONDS:g}", *map(str, provider.args)]
    try:
        given = dict(provider.run())
    except Exception as error:  # a ConfigException, and an AttributeError where it fails on a terminal (36.0)
        raise UnavailableError(f"The exec plug-in {command!r} failed: {error}", where=where) from error
    del user.value["exec"]
    found = {"token": given.get("token")}
    for field, name in (("client-certificate", "clientCertificateData"), ("client-key", "clientKeyData")):
        found[f"{field}-data"] = base64.b64encode(str(given[name]).encode()).decode() if given.get(name) else None
    if not found["token"] and not (found["client-certificate-data"] and found["client-key-data"]):
        raise UnavailableError(
            f"The exec plug-in {command!r} gave neither a token nor a client certificate", where=where
        )
    user.value.update({name: value for name, value in found.items() if value})
    return _end_of(given)


def _end_of(given: Mapping[str, Any]) -> float | None:
    from kubernetes.config.dateutil import parse_rfc3339

    try:
        return float(parse_rfc3339(given["expirationTimestamp"]).timestamp())
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        # Then it is renewed once it is refused, as one that has no end.
        return None
