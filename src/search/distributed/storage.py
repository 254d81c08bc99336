"""Opens the Optuna database of a shared study, and reports its errors in plain words."""

import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import optuna
import sqlalchemy
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial
from sqlalchemy import URL
from sqlalchemy.exc import ArgumentError, IntegrityError, OperationalError, ProgrammingError, SQLAlchemyError

from src.core.errors import AssayError

RETRIES, OUTCOME = "retries", "outcome"  # attributes of a study, and of a trial
CONNECT_SECONDS = 10  # until a server that does not answer counts as unreachable
ATTEMPTS = 6  # to make the tables, which several processes may try at the same time
# A connection that the network has dropped is noticed in about two minutes, not in two hours.
KEEPALIVE = {"keepalives": 1, "keepalives_idle": 60, "keepalives_interval": 15, "keepalives_count": 4}


@dataclass(frozen=True)
class Heartbeat:
    """How soon a dead worker is noticed. Seconds."""

    heartbeat: int = 30  # between signs of life; each is one small write
    grace: int = (
        120  # without one until the worker counts as dead: four are missed, so a slow network is none
    )
    poll: float = 5.0  # between looks at a study in which the last trials run elsewhere


@contextmanager
def open_storage(url: str, timing: Heartbeat) -> Iterator[RDBStorage]:
    """The storage at ``url``; errors inside the block are reported without its password.

    Raises:
        AssayError: the URL is none, the server cannot be reached, or stops answering.
    """
    address = _address(url)
    storage = _open(address, timing)
    try:
        yield storage
    except (StorageInternalError, SQLAlchemyError) as error:
        raise AssayError(
            f"{redact_url(url)} stopped answering: {_reason(error, address)}. Finished trials are kept "
            "there; start the worker again when the server is back"
        ) from None
    finally:
        storage.remove_session()
        storage.engine.dispose()


def redact_url(url: str) -> str:
    """The URL without its password."""
    return _address(url).difference_update_query(["password"]).render_as_string(hide_password=True)


def _address(url: str) -> URL:
    """With psycopg2 as PostgreSQL's driver, whatever SQLAlchemy's default is."""
    try:
        address = sqlalchemy.make_url(url)
    except (ArgumentError, ValueError):
        raise AssayError(
            "sweep.storage is not the URL of a database. An example: postgresql://user@host:5432/database"
        ) from None
    plain = address.drivername in ("postgresql", "postgres")
    return address.set(drivername="postgresql+psycopg2") if plain else address


def _open(address: URL, timing: Heartbeat) -> RDBStorage:
    for attempt in range(ATTEMPTS):
        try:
            return _connect(address, timing)
        except (IntegrityError, ProgrammingError) as error:  # another process makes the same tables
            if attempt == ATTEMPTS - 1:
                raise AssayError(_unusable(address, error)) from None
            time.sleep(0.1 * 2**attempt)
        except (SQLAlchemyError, StorageInternalError, ImportError, RuntimeError) as error:
            raise AssayError(_unusable(address, error)) from None
    raise AssertionError("unreachable")


def _connect(address: URL, timing: Heartbeat) -> RDBStorage:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return RDBStorage(
            address.render_as_string(hide_password=False),
            engine_kwargs=_engine(address),
            heartbeat_interval=timing.heartbeat,
            grace_period=timing.grace,
            heartbeat_stale_trial_callback=retry,
        )


def _engine(address: URL) -> dict[str, Any]:
    """Two connections a worker: the trial and its signs of life. One that has died is replaced before use."""
    if address.get_backend_name() != "postgresql":
        return {"pool_pre_ping": True}
    arguments = {"connect_timeout": CONNECT_SECONDS, "application_name": "assay", **KEEPALIVE}
    return {"pool_size": 2, "pool_pre_ping": True, "connect_args": arguments}


def retry(study: optuna.Study, trial: FrozenTrial) -> None:
    """Queue a trial whose worker has died, with the same settings, unless it has had its retries.

    One whose outcome was kept just before its worker died needs none.
    """
    if OUTCOME in trial.user_attrs:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        again = RetryHeartbeatStaleTrialCallback(max_retry=study.user_attrs[RETRIES])
    again(study, trial)


def _unusable(address: URL, error: Exception) -> str:
    unreachable = isinstance(error, OperationalError)
    advice = "Does the server run there, and let this machine in?" if unreachable else "Check sweep.storage"
    where = address.difference_update_query(["password"]).render_as_string(hide_password=True)
    return f"sweep.storage={where} cannot be used: {_reason(error, address)}. {advice}"


def _reason(error: BaseException, address: URL) -> str:
    """The innermost message in one line, with every occurrence of the password removed."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = " ".join((str(error).strip() or type(error).__name__).split()).rstrip(".")
    secrets = [address.password, address.query.get("password"), os.environ.get("PGPASSWORD")]
    for secret in filter(None, secrets):
        text = text.replace(str(secret), "***")
    return text
