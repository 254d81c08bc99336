"""Signatures on a model's folder, by a local key, with the OpenSSF package ``model-signing``.

A key pair (P-256) behind a passphrase is made with OpenSSL:

    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -aes-256-cbc -out signing.pem
    openssl pkey -in signing.pem -pubout -out signing.pub
"""

import hashlib
import os
import stat
import sys
from functools import cache
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.core.errors import AssayError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

FILE = "model.sig"  # a Sigstore bundle
PRIVATE, PUBLIC = "ASSAY_SIGNING_KEY", "ASSAY_PUBLIC_KEY"  # environment: PEM files
PASSPHRASE = "ASSAY_SIGNING_PASSPHRASE"  # environment: of an encrypted private key
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def configured(name: str) -> Path | None:
    """The PEM file that the environment names; None if it names none.

    Raises:
        AssayError: The file does not exist, or it is a private key that other users can read.
    """
    value = os.environ.get(name)
    if not value:
        return None
    path = Path(value)
    if not path.is_file():
        raise AssayError(f"{name}={value}: the file does not exist. Unset it, or name a PEM file")
    if name == PRIVATE:
        refuse_exposed(path)
    return path


def refuse_exposed(key: Path) -> None:
    """
    Raises:
        AssayError: Users other than the owner have access to a private key.
    """
    mode = stat.S_IMODE(key.stat().st_mode)
    if os.name == "posix" and mode & OTHERS:
        raise AssayError(
            f"{key} is a private key, and other users have access to it (mode {mode:03o}). Remove their "
            f"access: chmod 600 {key}. If somebody may have read the key, make a new one"
        )


def fingerprint(key: Path) -> str:
    """SHA-256 of the public key in a private or public PEM file, by which people tell keys apart.

    Raises:
        AssayError: The file holds no key of the right kind, or its passphrase is missing or wrong.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    content = key.read_bytes()
    public: Any
    if b"PRIVATE KEY" in content:
        public = _load_private(key).public_key()
    else:
        try:
            public = serialization.load_pem_public_key(content)
        except (ValueError, TypeError) as error:
            raise AssayError(f"{key} holds no key that can be read: {error}") from error
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise AssayError(f"{key} holds no elliptic-curve key: {__doc__.partition('OpenSSL:')[2].strip()}")
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(public.public_bytes(serialization.Encoding.DER, form)).hexdigest()


def sign(folder: Path, signature: Path, key: Path) -> None:
    """Write ``signature``, which covers every file of ``folder``.

    Raises:
        AssayError: The key cannot be read, or its passphrase is missing or wrong.
    """
    from model_signing import signing

    _load_private(key)  # for a message that names the reason
    config = signing.Config()  # type: ignore[no-untyped-call]
    secret: Any = _passphrase(key)  # the package says str, and hands it on to a function that takes bytes
    config.use_elliptic_key_signer(private_key=key, password=secret).sign(folder, signature)


def _load_private(key: Path) -> "PrivateKeyTypes":
    from cryptography.hazmat.primitives import serialization

    secret = _passphrase(key)
    try:
        return serialization.load_pem_private_key(key.read_bytes(), secret)
    except (ValueError, TypeError) as error:
        if secret is not None:
            _passphrase.cache_clear()
            raise AssayError(f"{key} cannot be opened: the passphrase is wrong ({PASSPHRASE})") from error
        raise AssayError(f"{key} holds no key that can be read: {error}") from error


@cache
def _passphrase(key: Path) -> bytes | None:
    """From the environment, or asked once at the terminal; None for a key without one."""
    if b"ENCRYPTED" not in key.read_bytes():
        return None
    given = os.environ.get(PASSPHRASE)
    if given is None and not sys.stdin.isatty():
        raise AssayError(f"{key} needs a passphrase: set {PASSPHRASE}, or run the command in a terminal")
    return (given if given is not None else getpass(f"Passphrase of {key}: ")).encode()


def verify(folder: Path, signature: Path, key: Path) -> str | None:
    """Why ``signature`` is not a valid signature of ``folder`` by the key; None if it is."""
    from model_signing import verifying

    config = verifying.Config()  # type: ignore[no-untyped-call]
    try:
        config.use_elliptic_key_verifier(public_key=key).verify(folder, signature)
    except Exception as error:  # the package raises ValueError, OSError, and what its parsers raise
        return " ".join(str(error).split()) or type(error).__name__
    return None
