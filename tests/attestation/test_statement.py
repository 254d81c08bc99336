"""The statement in its standard form, and signatures on it."""

import io
import json
import subprocess

import pytest

from src.attestation import signing
from src.attestation.statement import Material, Provenance, read_statement, write_statement
from src.core.errors import AssayError
from tests.support.keys import make_keys
from tests.support.workspaces import ROOT

SAID = Provenance(
    sha256="ab" * 32,
    stage="compress@int8_static",
    command="python -m src.compress int8_static",
    lineage="cd" * 32,
    parameters={"train.epochs": 40, "model.widths": [32, 64], "register.policy.constraints": []},
    materials=[Material("data/raw/digits", {"md5": "01" * 16}), Material("git", {"gitCommit": "23" * 20})],
    started="2026-11-25T10:00:00+00:00",
)


@pytest.fixture
def keys(tmp_path):
    return make_keys(tmp_path, "key")


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "model"
    place.mkdir()
    (place / "model.onnx").write_bytes(b"weights")
    (place / "provenance.json").write_text(write_statement(SAID))
    return place


def test_what_was_written_is_read(tmp_path):
    found = read_statement(write_statement(SAID))
    assert found == SAID


def test_the_form_is_that_of_in_toto_and_slsa():
    """Names of fields as the specifications of Statement v1 and of SLSA's provenance v1.0 have them."""
    said = json.loads(write_statement(SAID))
    assert said["_type"] == "https://in-toto.io/Statement/v1"
    assert said["predicateType"] == "https://slsa.dev/provenance/v1"
    assert said["subject"] == [{"name": "model.onnx", "digest": {"sha256": SAID.sha256}}]
    assert said["predicate"].keys() == {"buildDefinition", "runDetails"}
    definition = said["predicate"]["buildDefinition"]
    assert definition.keys() == {"buildType", "externalParameters", "resolvedDependencies"}
    assert said["predicate"]["runDetails"]["metadata"] == {
        "invocationId": SAID.lineage,
        "startedOn": SAID.started,
    }


def test_the_same_content_is_the_same_text():
    other = Provenance(**{**SAID.__dict__, "parameters": dict(reversed(SAID.parameters.items()))})
    assert write_statement(other) == write_statement(SAID)


@pytest.mark.parametrize("text", ["", "{}", '{"_type": "https://in-toto.io/Statement/v1"}', '{"more": 1}'])
def test_something_else_is_refused(text):
    with pytest.raises(AssayError, match=r"provenance\.json is no provenance statement"):
        read_statement(text)


def test_a_signature_holds_for_its_key_and_its_bytes(folder, keys, tmp_path):
    private, public = keys
    signature = tmp_path / signing.FILE
    signing.sign(folder, signature, private)
    assert signing.verify(folder, signature, public) is None
    (folder / "model.onnx").write_bytes(b"weightt")
    assert "model.onnx" in str(signing.verify(folder, signature, public))


def test_private_and_public_key_have_one_fingerprint(keys):
    private, public = keys
    assert signing.fingerprint(private) == signing.fingerprint(public)


def test_a_file_without_a_key_is_named(tmp_path):
    (tmp_path / "key.pem").write_text("nothing")
    with pytest.raises(AssayError, match=r"key\.pem holds no key"):
        signing.fingerprint(tmp_path / "key.pem")


def test_a_key_that_the_environment_names_must_be_there(monkeypatch, keys):
    monkeypatch.delenv(signing.PRIVATE, raising=False)
    assert signing.configured(signing.PRIVATE) is None
    monkeypatch.setenv(signing.PRIVATE, str(keys[0]))
    assert signing.configured(signing.PRIVATE) == keys[0]
    monkeypatch.setenv(signing.PRIVATE, "/nowhere/key.pem")
    with pytest.raises(AssayError, match=r"ASSAY_SIGNING_KEY=/nowhere/key\.pem: the file does not exist"):
        signing.configured(signing.PRIVATE)


def test_a_key_behind_a_passphrase_signs_with_the_right_one_only(folder, tmp_path, monkeypatch):
    private, public = make_keys(tmp_path, "protected", "correct horse")
    signature = tmp_path / signing.FILE
    monkeypatch.delenv(signing.PASSPHRASE, raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(AssayError, match="needs a passphrase: set ASSAY_SIGNING_PASSPHRASE"):
        signing.sign(folder, signature, private)
    monkeypatch.setenv(signing.PASSPHRASE, "battery staple")
    with pytest.raises(AssayError, match="the passphrase is wrong"):
        signing.fingerprint(private)
    monkeypatch.setenv(signing.PASSPHRASE, "correct horse")
    signing.sign(folder, signature, private)
    assert signing.verify(folder, signature, public) is None
    assert signing.fingerprint(private) == signing.fingerprint(public)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610])
def test_a_private_key_that_others_can_use_is_refused(keys, monkeypatch, mode):
    private, public = keys
    private.chmod(mode)
    monkeypatch.setenv(signing.PRIVATE, str(private))
    with pytest.raises(AssayError, match=rf"mode {mode:03o}\). Remove their access: chmod 600 "):
        signing.configured(signing.PRIVATE)
    private.chmod(0o400)
    assert signing.configured(signing.PRIVATE) == private
    public.chmod(0o644)
    monkeypatch.setenv(signing.PUBLIC, str(public))
    assert signing.configured(signing.PUBLIC) == public, "everybody may read a public key"


@pytest.mark.parametrize("name", ["signing.pem", "keys/team.key", ".env", ".env.local"])
def test_git_ignores_keys_and_secrets(name):
    done = subprocess.run(["git", "check-ignore", "--quiet", "--no-index", name], cwd=ROOT)
    assert done.returncode == 0
