from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stream_harness import Group

from sync_worker.testing.stack import Part, Stack, up


@pytest.fixture(scope="session")
def kafka_stack(stack_home: Path) -> Stack:
    """A stack of which only Kafka is running, unless something else asked for the rest."""
    return up(stack_home, parts=["kafka"])


@pytest.fixture
def kafka(kafka_stack: Stack) -> Iterator[Part]:
    """The broker, to be stopped and started; running again afterwards."""
    yield kafka_stack.kafka
    kafka_stack.kafka.start()


@pytest.fixture
def group(kafka_stack: Stack, fresh_name: Callable[[str], str], tmp_path: Path) -> Iterator[Group]:
    """A consumer group and one topic name, which does not exist yet. Workers are killed and topics deleted afterwards."""
    name = fresh_name("stream")
    group = Group(kafka_stack.kafka_bootstrap, tmp_path, name, [name])
    yield group
    group.stop()
    made = [topic for topic in group.admin.list_topics(timeout=10).topics if topic.startswith(name)]
    for deleted in group.admin.delete_topics(made).values() if made else ():
        deleted.result(timeout=10)
