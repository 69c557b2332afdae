"""Who may speak to the node's kube-apiserver: an authority of its own, and tokens that it was told at its start."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import ipaddress
import json
import secrets
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.kubernetes.node.addresses import Addresses

NODE_NAME = "air-node"
ADMIN = "admin"
# Without any role: what a test binds to them is all that they may.
PLAIN_USERS = ("airflow", "stranger")
_GROUPS = {ADMIN: "system:masters", f"system:node:{NODE_NAME}": "system:nodes"}
_PARTS = ("system:kube-controller-manager", "system:kube-scheduler", "system:kube-proxy")
_DAY = datetime.timedelta(days=1)


@dataclasses.dataclass(frozen=True)
class Credentials:
    """The files in a folder, and every user's token."""

    folder: Path
    tokens: dict[str, str] = dataclasses.field(repr=False)

    @classmethod
    def create(cls, folder: Path, addresses: Addresses) -> Credentials:
        """Make an authority, the server's certificate, a key for service accounts, and the tokens."""
        folder.mkdir(mode=0o700, exist_ok=True)
        authority_key = ec.generate_private_key(ec.SECP256R1())
        authority = _certificate("air-tests", authority_key.public_key(), None, authority_key, _authority())
        _write(folder / "ca", authority, authority_key)
        server_key = ec.generate_private_key(ec.SECP256R1())
        names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
        reached = ["127.0.0.1", addresses.node, addresses.kubernetes]
        server = _certificate("apiserver", server_key.public_key(), authority, authority_key, _server(names, reached))
        _write(folder / "server", server, server_key)
        _write(folder / "service-accounts", None, rsa.generate_private_key(65537, 2048))
        users = [*_GROUPS, *_PARTS, *PLAIN_USERS]
        tokens = {user: secrets.token_urlsafe(24) for user in users}
        lines = [f'{token},{user},{user},"{_GROUPS.get(user, "")}"' for user, token in tokens.items()]
        (folder / "tokens.csv").write_text("\n".join(lines) + "\n")
        (folder / "tokens.json").write_text(json.dumps(tokens))
        for user in tokens:
            made = kubeconfig(addresses.url, (folder / "ca.crt").read_text(), tokens[user])
            (folder / f"{user}.kubeconfig").write_text(json.dumps(made))
        return cls(folder, tokens)

    @classmethod
    def read(cls, folder: Path) -> Credentials:
        """Read what :meth:`create` wrote."""
        return cls(folder, json.loads((folder / "tokens.json").read_text()))

    @property
    def authority(self) -> Path:
        """The certificate that vouches for the server."""
        return self.folder / "ca.crt"

    def kubeconfig(self, user: str = ADMIN) -> Path:
        """Give a user's kubeconfig."""
        return self.folder / f"{user}.kubeconfig"

    def client_certificate(self, user: str, *groups: str, lasts: datetime.timedelta = _DAY) -> tuple[Path, Path]:
        """Make a certificate that says who its holder is; give it and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        authority = x509.load_pem_x509_certificate(self.authority.read_bytes())
        authority_key = serialization.load_pem_private_key((self.folder / "ca.key").read_bytes(), None)
        assert isinstance(authority_key, ec.EllipticCurvePrivateKey)
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        made = _certificate(user, key.public_key(), authority, authority_key, [usage], groups=groups, lasts=lasts)
        path = self.folder / f"client-{user}-{secrets.token_hex(4)}"
        _write(path, made, key)
        return path.with_suffix(".crt"), path.with_suffix(".key")


def kubeconfig(url: str, authority: str, token: str) -> dict[str, Any]:
    """Give the configuration of a client that has a token."""
    cluster = {"server": url, "certificate-authority-data": base64.b64encode(authority.encode()).decode()}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "air", "cluster": cluster}],
        "users": [{"name": "air", "user": {"token": token}}],
        "contexts": [{"name": "air", "context": {"cluster": "air", "user": "air"}}],
        "current-context": "air",
    }


def _authority() -> list[x509.ExtensionType]:
    return [x509.BasicConstraints(ca=True, path_length=None)]


def _server(names: list[str], addresses: list[str]) -> list[x509.ExtensionType]:
    reached = [x509.IPAddress(ipaddress.ip_address(each)) for each in addresses]
    return [
        x509.SubjectAlternativeName([*(x509.DNSName(name) for name in names), *reached]),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
    ]


def _certificate(
    name: str,
    key: Any,
    issuer: x509.Certificate | None,
    signer: ec.EllipticCurvePrivateKey,
    extensions: list[x509.ExtensionType],
    groups: tuple[str, ...] = (),
    lasts: datetime.timedelta = _DAY,
) -> x509.Certificate:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, name),
            *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups),
        ]
    )
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + lasts)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    return builder.sign(signer, hashes.SHA256())


def _write(path: Path, certificate: x509.Certificate | None, key: Any) -> None:
    if certificate is not None:
        path.with_name(path.name + ".crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    written = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.with_name(path.name + ".key").write_bytes(written)
