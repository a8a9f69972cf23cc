"""Keys and certificates. All are made here and travel as text; nothing is written to a disk."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from slipway.errors import SlipwayError

AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 397
"""days; the longest that browsers and Apple's clients accepted from 2020 on (CA/Browser Forum ballot SC31)"""

CLOCK_SKEW = timedelta(hours=1)
"""A host whose clock is behind must not find its certificate to be of the future."""

LONGEST_COMMON_NAME = 64
"""characters, X.520's upper bound"""


@dataclass(frozen=True)
class KeyPair:
    """An SSH key: public key line with comment, private key as OpenSSH PEM."""

    public: str
    private: str = field(repr=False)


@dataclass(frozen=True)
class Authority:
    """A certificate authority, PEM each."""

    certificate: str
    key: str = field(repr=False)


@dataclass(frozen=True)
class Leaf:
    """A server certificate and its key, PEM each."""

    certificate: str
    key: str = field(repr=False)
    not_after: datetime


def make_ssh_key(comment: str) -> KeyPair:
    """A new Ed25519 key."""
    return _key_pair(ed25519.Ed25519PrivateKey.generate(), comment)


def load_ssh_key(private: str, *, comment: str, where: str) -> KeyPair:
    """The key pair of an unencrypted Ed25519 key in OpenSSH's format. Raises SlipwayError."""
    try:
        key = serialization.load_ssh_private_key(private.encode(), password=None)
    except (ValueError, TypeError) as error:
        raise SlipwayError(
            f"no readable private key ({error})", where=where, fix="Give an OpenSSH key without a passphrase."
        ) from None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise SlipwayError("not an Ed25519 key", where=where, fix="Make one with `ssh-keygen -t ed25519`.")
    return _key_pair(key, comment)


def make_authority(name: str, now: float) -> Authority:
    """A new authority on P-256 that may sign server certificates only, and no further authorities.

    It has no name constraints: a stack's hosts may have any address, and which ones is not known yet. `now` is seconds
    since the epoch.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    start = datetime.fromtimestamp(now, UTC) - CLOCK_SKEW
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(sign_certificates=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(_pem(certificate), _private_pem(key))


def make_certificate(authority: Authority, names: Sequence[str], now: float, *, where: str) -> Leaf:
    """A new key and a server certificate for DNS names and IP addresses. Raises SlipwayError on a bad authority."""
    issuer, issuer_key = _load(authority, where)
    key = ec.generate_private_key(ec.SECP256R1())
    start = datetime.fromtimestamp(now, UTC).replace(microsecond=0) - CLOCK_SKEW
    end = min(start + timedelta(days=CERTIFICATE_DAYS), issuer.not_valid_after_utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(names[0]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return Leaf(_pem(certificate), _private_pem(key), end)


def _load(authority: Authority, where: str) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        certificate = x509.load_pem_x509_certificate(authority.certificate.encode())
        key = serialization.load_pem_private_key(authority.key.encode(), password=None)
    except (ValueError, TypeError):
        raise SlipwayError(
            "the authority's certificate or key is not readable PEM", where=where, fix="Pass on those of StackKeys."
        ) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise SlipwayError(
            "the authority's key does not belong to its certificate", where=where, fix="Pass on those of StackKeys."
        )
    return certificate, key


def _key_pair(key: ed25519.Ed25519PrivateKey, comment: str) -> KeyPair:
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    return KeyPair(f"{public.decode()} {comment}", private.decode())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:LONGEST_COMMON_NAME])])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _private_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
