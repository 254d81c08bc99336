"""Key pairs for signatures."""

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec


def make_keys(folder: Path, name: str, passphrase: str = "") -> tuple[Path, Path]:
    """A new pair of P-256; returns the private and the public PEM file."""
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    key, pem = ec.generate_private_key(ec.SECP256R1()), serialization.Encoding.PEM
    form, protection = serialization.PrivateFormat.PKCS8, _protection(passphrase)
    private.touch(mode=0o600)
    private.write_bytes(key.private_bytes(pem, form, protection))
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(pem, form))
    return private, public


def _protection(passphrase: str) -> serialization.KeySerializationEncryption:
    if not passphrase:
        return serialization.NoEncryption()
    return serialization.BestAvailableEncryption(passphrase.encode())
