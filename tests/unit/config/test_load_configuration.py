"""One object from file and environment, or every mistake at once: where, what, and how to mend it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from pydantic import ValidationError

from sync_worker.config import Config, load_config
from sync_worker.config.model import MeilisearchSection
from sync_worker.errors import ConfigurationError

ROOT = Path(__file__).parents[3]
GOOD = """
[kafka]
bootstrap_servers = "127.0.0.1:9092"
[meilisearch]
url = "http://127.0.0.1:7700/"
[source]
url = "postgresql://reader:hunter2@127.0.0.1/shop"
[indexes.cities]
table = "public.cities"
primary_key = "id"
fields = { name = "text" }
"""

Load = Callable[..., Config]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(text: str, environ: Mapping[str, str] | None = None, *, indexes_required: bool = True) -> Config:
        path = tmp_path / "sync-worker.toml"
        path.write_text(text, encoding="utf-8")
        return load_config(path, environ or {}, indexes_required=indexes_required)

    return load


def problems(load: Load, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(text, environ)
    assert caught.value.remedy
    return [problem.split("sync-worker.toml: ")[-1] for problem in caught.value.problems]


def test_the_example_is_a_configuration() -> None:
    """What we tell people to copy works."""
    config = load_config(ROOT / "sync-worker.example.toml", {})

    assert config.tables == ("public.cities", "shop.order_lines")


@pytest.mark.parametrize(
    ("url", "means"),
    [
        (None, "sqlite:///{beside}/sync-worker.db"),
        ("sqlite:///kept/state.db", "sqlite:///{beside}/kept/state.db"),
        ("sqlite:///state.db?timeout=5", "sqlite:///{beside}/state.db?timeout=5"),
        ("sqlite:////var/lib/state.db", "sqlite:////var/lib/state.db"),
        ("postgresql://u:p@h/d", "postgresql://u:p@h/d"),
    ],
)
@pytest.mark.parametrize("from_environment", [False, True])
def test_a_relative_state_file_is_beside_the_configuration(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str | None, means: str, from_environment: bool
) -> None:
    """Worker and verbs mean the same file, whatever directory each is called in; as `<secret>_file` paths are."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    if url is None:
        config = load(GOOD)
    elif from_environment:
        config = load(GOOD, {"SYNC_WORKER_STATE__URL": url})
    else:
        config = load(f'{GOOD}\n[state]\nurl = "{url}"')
    assert config.state.url.get_secret_value() == means.format(beside=tmp_path)


def test_what_is_not_said_has_a_default(load: Load) -> None:
    config = load(GOOD)

    assert config.kafka.group == "sync-worker"
    assert config.state_file is not None
    assert config.state_file.name == "sync-worker.db"
    assert config.worker.http_port == 9464
    assert config.worker.flood_guard.run == 500
    assert config.meilisearch["default"].url == "http://127.0.0.1:7700"
    assert config.connector_bootstrap_servers == "127.0.0.1:9092"
    assert config.connector_database_url == config.source.url


def test_tables_know_their_topics_and_indexes(load: Load) -> None:
    """Debezium replaces what Kafka does not take by underscores."""
    config = load(
        GOOD + '[indexes.towns]\ntable = "public.cities"\nprimary_key = "id"\nhook = "json:loads"\n'
        '[indexes.odd]\ntable = "public.Stra\u00dfe"\nprimary_key = "id"\nfields = { a = "text" }'
    )

    assert config.topics == {"sync.public.cities": "public.cities", "sync.public.Stra_e": "public.Straße"}
    assert [index.name for index in config.indexes_of("public.cities")] == ["cities", "towns"]


def test_the_environment_overrides_the_file(load: Load) -> None:
    """Upper case, hyphens as underscores, numbers as text, lists as JSON, keys inside named tables."""
    config = load(
        GOOD + '[meilisearch.eu-west]\nurl = "http://eu:7700"\n',
        {
            "SYNC_WORKER_KAFKA__BOOTSTRAP_SERVERS": "kafka:9092",
            "SYNC_WORKER_WORKER__HTTP_PORT": "0",
            "SYNC_WORKER_WORKER__FLOOD_GUARD__RATIO": "0.25",
            "SYNC_WORKER_MEILISEARCH__EU_WEST__API_KEY": "key",
            "SYNC_WORKER_INDEXES__CITIES__PRIMARY_KEY": '["a", "b"]',
            "SYNC_WORKER_INDEXES__CITIES__FIELDS__POPULATION": "integer",
            "SYNC_WORKER_CONFIG": "not ours",
            "HOME": "/",
        },
    )

    assert config.kafka.bootstrap_servers == "kafka:9092"
    assert (config.worker.http_port, config.worker.flood_guard.ratio) == (0, 0.25)
    key = config.meilisearch["eu-west"].api_key
    assert key is not None
    assert key.get_secret_value() == "key"
    assert config.indexes["cities"].primary_key == ("a", "b")
    assert set(config.indexes["cities"].fields) == {"name", "population"}


def test_a_mistake_in_the_environment_names_the_variable(load: Load) -> None:
    found = problems(
        load, GOOD, {"SYNC_WORKER_WORKER__HTTP_PORT": "x", "SYNC_WORKER_KAFKA__GROPU": "x", "SYNC_WORKER_KAFK__A": "x"}
    )

    assert found == [
        "environment variable SYNC_WORKER_KAFK__A: unknown section; did you mean `kafka`?",
        "environment variable SYNC_WORKER_KAFKA__GROPU: unknown key; did you mean `group`?",
        "environment variable SYNC_WORKER_WORKER__HTTP_PORT: must be an integer",
    ]


def test_secrets_come_from_files_and_the_environment_wins(load: Load, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-file\n")
    text = GOOD.replace("[source]", 'api_key_file = "key"\n[source]')

    from_file = load(text).meilisearch["default"].api_key
    from_environment = load(text, {"SYNC_WORKER_MEILISEARCH__API_KEY": "from-environment"}).meilisearch["default"].api_key

    assert from_file is not None
    assert from_file.get_secret_value() == "from-file"
    assert from_environment is not None
    assert from_environment.get_secret_value() == "from-environment"


def test_no_secret_is_ever_printed(load: Load) -> None:
    """Neither by the object nor by a mistake beside it."""
    assert "hunter2" not in repr(load(GOOD)) + str(load(GOOD))
    found = problems(load, GOOD.replace("postgresql://", "mysql://").replace("[meilisearch]", "[meilisearch]\napi_key = 4242"))
    assert len(found) == 2
    assert "hunter2" not in str(found)
    assert "4242" not in str(found)


def test_every_mistake_is_named_at_once(load: Load) -> None:
    """Each line: file, path of keys, what is wrong, what to do."""
    found = problems(
        load,
        """
        [kafka]
        bootstrap_server = "x:1"
        security_protocol = "SASL_SSL"
        [meilisearch]
        url = "nope"
        api_key_file = "missing"
        [wrker]
        [connector]
        slot = "Bad-Slot"
        overrides = { "slot.name" = "x" }
        [worker]
        http_port = 99999
        log_format = "xml"
        [worker.flood_guard]
        rati = 1
        [indexes.a]
        table = "cities"
        primary_key = "id"
        meilisearch = "eu"
        fields = { x = "integr", y = { typ = "text" } }
        [indexes.b]
        name = "c"
        table = "public.b"
        primary_key = "id"
        uid = "a"
        meilisearch = "eu"
        hook = "no_such_module:f"
        """,
    )

    expected = {
        "wrker": "did you mean `worker`?",
        "kafka.bootstrap_servers": "is missing",
        "kafka.bootstrap_server": "did you mean `bootstrap_servers`?",
        "source.url": "is missing (or `url_file`)",
        "connector.slot": "a-z 0-9 _",
        "connector.overrides": "follows from connector.slot",
        "worker.http_port": "at most 65535",
        "worker.log_format": "one of `auto`, `json`, `console`",
        "worker.flood_guard.rati": "did you mean `ratio`?",
        "meilisearch.url": "must be a URL",
        "meilisearch.api_key_file": "can't be read",
        "indexes.a.table": "public.cities",
        "indexes.a.fields.x.type": "one of `integer`",
        "indexes.a.fields.y.typ": "did you mean `type`?",
        "indexes.a.meilisearch": "there is no [meilisearch.eu]",
        "indexes.b.name": "unknown key",
        "indexes.b.meilisearch": "there is no [meilisearch.eu]",
        "indexes.b.uid": "the uid of [indexes.a] too",
        "indexes.b.hook": "can't be imported",
    }
    told = dict(problem.split(": ", 1) for problem in found)
    assert set(told) == set(expected)
    for path, words in expected.items():
        assert words in told[path], told[path]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD.replace("[kafka]", '[kafka]\nsecurity_protocol = "SASL_SSL"'), "kafka.sasl_password: is needed"),
        (GOOD.replace("[kafka]", "[kafka]\nsession_timeout_s = 10"), "must be less than kafka.session_timeout_s"),
        (GOOD + '[meilisearch.default]\nurl = "http://a"', "is the table [meilisearch] itself"),
        (GOOD + '[indexes.b]\ntable = "public.cities"\nprimary_key = "code"\nfields = {a = "text"}', "has one primary key"),
        (GOOD + '[indexes.b]\ntable = "public.a b"\nprimary_key = "id"\nfields = {a = "text"}', "is not `schema.table`"),
        (
            GOOD + '[indexes.b]\ntable = "public.ä"\nprimary_key = "id"\nfields = {a = "text"}\n'
            '[indexes.c]\ntable = "public.ö"\nprimary_key = "id"\nfields = {a = "text"}',
            "would share a topic",
        ),
        (
            GOOD + '[indexes."a b"]\ntable = "public.t"\nprimary_key = "id"\nuid = "x"\nfields = {a = "text"}',
            "no name for an index",
        ),
        (GOOD.split("[indexes.cities]")[0], "no index is declared"),
        (GOOD.replace('"text"', '"text", "" = "text"'), "empty name"),
        (GOOD.replace("[source]", 'api_key = "a"\napi_key_file = "b"\n[source]'), "keep one of the two"),
        (GOOD + "[kafka", "not TOML"),
        ("indexes = 1\n" + GOOD.split("[indexes.cities]")[0], "must hold tables"),
        ("meilisearch = 1\n" + GOOD.replace("[meilisearch]\nurl", "[state]\n#"), "must be a table: write [meilisearch]"),
        ("worker = 1\n" + GOOD, "worker: must be a table"),
    ],
)
def test_what_does_not_fit_together(load: Load, text: str, says: str) -> None:
    assert says in "\n".join(problems(load, text))


def test_a_missing_file_says_where_to_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_config(tmp_path / "none.toml", {})
    assert "there is no such file" in caught.value.message
    assert "sync-worker.example.toml" in caught.value.remedy


def test_the_first_declaration_is_written_without_one(load: Load) -> None:
    """`sync-worker init` starts from a file without indexes."""
    assert load(GOOD.split("[indexes.cities]")[0], indexes_required=False).indexes == {}


def test_hooks_are_found_beside_the_file(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "hooks_of_this_test.py").write_text("def good(document, row):\n    return document\nnot_callable = 5\n")

    load(GOOD.replace("fields", 'hook = "hooks_of_this_test:good"\nfields'))
    for name, says in [("absent", "has no `absent`"), ("not_callable", "not callable")]:
        text = GOOD.replace("fields", f'hook = "hooks_of_this_test:{name}"\nfields')
        assert says in "\n".join(problems(load, text))


def test_a_configuration_does_not_change(load: Load) -> None:
    config = load(GOOD)
    with pytest.raises(ValidationError):
        config.worker.name = "other"  # type: ignore[misc]


def test_a_validation_error_that_gets_out_holds_no_input() -> None:
    """Somebody may build a section by hand and log what pydantic says."""
    with pytest.raises(ValidationError) as caught:
        MeilisearchSection.model_validate({"url": "http://a", "api_key": 4242})
    assert "4242" not in str(caught.value)


MISREAD = [
    "postgresql://shop:abc@SeCrEt@127.0.0.1/db",
    "postgresql://shop:ab/SeCrEt@127.0.0.1/db",
    "postgresql://shop:ab/SeC@rEt@127.0.0.1/db",
    "postgresql://shop:1?SeCrEt@127.0.0.1/db",
    "postgresql://shop:SeCrEt%zz@127.0.0.1/db",
    "postgresql://127.0.0.1:SeCrEt/db",
]


@pytest.mark.parametrize("url", MISREAD)
@pytest.mark.parametrize("key", ["source.url", "state.url", "connector.database_url"])
def test_a_password_that_is_not_percent_encoded_is_refused_unseen(load: Load, key: str, url: str) -> None:
    """libpq would take its rest for a host's name, and print it."""
    section, _, name = key.partition(".")
    (found,) = problems(load, GOOD, {f"SYNC_WORKER_{section.upper()}__{name.upper()}": url})
    assert "percent-encode the password (@ is %40, / is %2F" in found
    assert "eC" not in found
    assert "rEt" not in found


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://shop:p%40ss%2Fword@127.0.0.1/db",
        "postgresql://shop:a:b#c@[::1]:5432/db?sslmode=require",
        "postgresql://a:5432,b:5433/db",
        "postgresql:///db?host=%2Frun%2Fpostgresql",
        "postgres://shop@%2Frun%2Fpostgresql/db",
    ],
)
def test_a_url_that_libpq_reads_as_it_is_meant_is_taken(load: Load, url: str) -> None:
    """Encoded passwords, IPv6, several hosts, sockets."""
    assert load(GOOD, {"SYNC_WORKER_SOURCE__URL": url}).source.url.get_secret_value() == url


def test_a_user_in_the_url_of_meilisearch_is_refused_by_name(load: Load) -> None:
    """It would be printed with the address in every message."""
    (found,) = problems(load, GOOD.replace("http://127", "http://me:hunter3@127"))
    assert found.startswith("meilisearch.url: must hold no user and password")
    assert "hunter3" not in found


def test_a_field_may_be_a_types_name_or_a_table(load: Load) -> None:
    """A number is neither; the message names both forms and the types."""
    (found,) = problems(load, GOOD.replace('name = "text"', "huge = 3"))
    assert found.startswith("indexes.cities.fields.huge: must be a type's name in quotes (integer, number,")
    assert "or a table" in found


@pytest.mark.parametrize(("where", "beside"), [("price > 3 AND", "AND"), ("price =", "=")])
def test_an_unfinished_condition_is_told_in_sqls_words(load: Load, where: str, beside: str) -> None:
    """Not in those of the parser's classes."""
    (found,) = problems(load, GOOD + f'where = "{where}"')
    assert f"something is missing beside {beside})" in found
    assert "sqlglot" not in found
