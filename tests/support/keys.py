"""Key pairs for signatures."""

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec


def make_keys(folder: Path, name: str) -> tuple[Path, Path]:
    """A new pair of P-256; returns the private and the public PEM file."""
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    key, pem = ec.generate_private_key(ec.SECP256R1()), serialization.Encoding.PEM
    form, open_to_all = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    private.write_bytes(key.private_bytes(pem, form, open_to_all))
    private.chmod(0o600)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(pem, form))
    return private, public
