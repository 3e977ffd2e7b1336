"""psycopg's exceptions in the project's words."""

from __future__ import annotations

import inspect

import psycopg
import pytest
from psycopg import errors
from sqlalchemy.exc import OperationalError

from sync_worker.adapters.source.fault import translate, translated
from sync_worker.adapters.state.fault import at_start
from sync_worker.errors import ConfigurationError, SourceUnavailable, StateUnavailable


def _every_error() -> list[type[psycopg.Error]]:
    named = [item for _, item in inspect.getmembers(psycopg, inspect.isclass) if issubclass(item, psycopg.Error)]
    by_state = [item for _, item in inspect.getmembers(errors, inspect.isclass) if issubclass(item, psycopg.Error)]
    return list(dict.fromkeys(named + by_state))


@pytest.mark.parametrize("error", _every_error(), ids=lambda error: error.__name__)
def test_every_exception_is_the_operators_or_the_environments(error: type[psycopg.Error]) -> None:
    """Also one that a later release adds."""
    with pytest.raises((SourceUnavailable, ConfigurationError)), translated("reading"):
        raise error("broken")


@pytest.mark.parametrize(
    "name", ["AdminShutdown", "TooManyConnections", "QueryCanceled", "DeadlockDetected", "DiskFull", "CannotConnectNow"]
)
def test_what_waiting_mends_is_unavailable(name: str) -> None:
    """The worker holds and goes on by itself."""
    assert isinstance(translate(getattr(errors, name)("x"), "reading"), SourceUnavailable)


@pytest.mark.parametrize(
    "name", ["InvalidPassword", "UndefinedTable", "UndefinedColumn", "InsufficientPrivilege", "InvalidCatalogName"]
)
def test_what_waiting_does_not_mend_is_the_operators(name: str) -> None:
    """With the way to mend it."""
    translation = translate(getattr(errors, name)("x"), "reading")
    assert isinstance(translation, ConfigurationError)
    assert translation.remedy


def test_only_the_first_line_is_told() -> None:
    """The rest may quote a row's values."""
    told = translate(psycopg.OperationalError("broken\nDETAIL: Key (email)=(x) exists"), "reading table public.t")
    assert told.message == "reading table public.t: broken"


REFUSED = 'connection failed: connection to server at "{}", port 5432 failed: FATAL:  password authentication failed for user "x"'
AWAY = 'connection failed: connection to server at "::1", port 5432 failed: Connection refused'
TWICE = f"Multiple connection attempts failed. All failures were:\n- {AWAY}\n\tIs it running?\n- {REFUSED.format('127.0.0.1')}"


@pytest.mark.parametrize("text", [REFUSED.format("127.0.0.1"), TWICE])
@pytest.mark.parametrize("place", ["source", "state"])
def test_a_wrong_password_is_the_operators_also_behind_a_name_with_two_addresses(place: str, text: str) -> None:
    """As localhost is; the line that says so is the one that is told, and it is the same for both databases."""
    error = psycopg.OperationalError(text)
    told = translate(error, "reading") if place == "source" else at_start(OperationalError("connect", None, error))
    assert isinstance(told, ConfigurationError)
    assert "password authentication failed" in told.message


@pytest.mark.parametrize("place", ["source", "state"])
def test_a_server_that_is_away_is_told_by_its_address(place: str) -> None:
    """It may come back: nobody has to mend the password."""
    error = psycopg.OperationalError(f"Multiple connection attempts failed. All failures were:\n- {AWAY}\n- {AWAY}")
    told = translate(error, "reading") if place == "source" else at_start(OperationalError("connect", None, error))
    assert isinstance(told, SourceUnavailable | StateUnavailable)
    assert "Connection refused" in told.message
