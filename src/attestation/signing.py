"""Signatures on a model's folder, by a local key, with the OpenSSF package ``model-signing``.

A key pair (P-256) is made with OpenSSL:

    openssl ecparam -name prime256v1 -genkey -noout -out signing.pem
    openssl ec -in signing.pem -pubout -out signing.pub
    chmod 600 signing.pem
"""

import hashlib
import os
import stat
from pathlib import Path

from src.core.errors import AssayError

OTHERS = stat.S_IRWXG | stat.S_IRWXO  # rights of everyone but the owner
FILE = "model.sig"  # a Sigstore bundle
PRIVATE, PUBLIC = "ASSAY_SIGNING_KEY", "ASSAY_PUBLIC_KEY"  # environment: PEM files


def configured(name: str) -> Path | None:
    """The PEM file that the environment names; None if it names none.

    Raises:
        AssayError: the file does not exist, or others can read a private key.
    """
    value = os.environ.get(name)
    if not value:
        return None
    if not Path(value).is_file():
        raise AssayError(f"{name}={value}: the file does not exist. Unset it, or name a PEM file")
    if name == PRIVATE and os.name == "posix" and Path(value).stat().st_mode & OTHERS:
        raise AssayError(
            f"{name}={value}: others on this machine can read the key, so they could sign in your name. Make "
            f"a new pair if they may have, then: chmod 600 {value}"
        )
    return Path(value)


def fingerprint(key: Path) -> str:
    """SHA-256 of the public key, of a private or public PEM file: by it people tell keys apart.

    Raises:
        AssayError: the file holds no key, or one behind a password.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    content = key.read_bytes()
    try:
        if b"PRIVATE KEY" in content:
            private = serialization.load_pem_private_key(content, password=None)
            public = private.public_key()
        else:
            public = serialization.load_pem_public_key(content)
    except (ValueError, TypeError) as error:
        raise AssayError(f"{key} holds no key that can be read without a password: {error}") from error
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise AssayError(f"{key} holds no elliptic-curve key: {__doc__.partition('OpenSSL:')[2].strip()}")
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(public.public_bytes(serialization.Encoding.DER, form)).hexdigest()


def sign(folder: Path, signature: Path, key: Path) -> None:
    """Write ``signature``, which covers every file of ``folder``."""
    from model_signing import signing

    config = signing.Config()  # type: ignore[no-untyped-call]
    config.use_elliptic_key_signer(private_key=key).sign(folder, signature)


def verify(folder: Path, signature: Path, key: Path) -> str | None:
    """Why ``signature`` is not the key's for ``folder``; None: it is."""
    from model_signing import verifying

    config = verifying.Config()  # type: ignore[no-untyped-call]
    try:
        config.use_elliptic_key_verifier(public_key=key).verify(folder, signature)
    except Exception as error:  # the package raises ValueError, OSError, and what its parsers raise
        return " ".join(str(error).split()) or type(error).__name__
    return None
