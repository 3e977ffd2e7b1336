"""`sync-worker backfill` of every row into an empty index, against draining the topic that it filled into another one."""

from __future__ import annotations

import json
import time

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from benchmarks import cities
from benchmarks.harness import Figure, Goal, NotMeasuredError, Setting, until
from benchmarks.server import Server
from benchmarks.site import Site, site

PARTS = ("postgres", "kafka", "connect", "meilisearch")


def measure(setting: Setting) -> list[Figure]:
    found = cities.rows(setting.rows)
    server = Server(setting.stack)
    with site(setting.stack, setting.folder) as mine:
        mine.create_database()
        cities.load(mine.database_url, found)
        mine.cli("connector", "apply")
        until(lambda: _end(setting, mine) >= len(found), "the connector's first snapshot", within_s=300)
        _forget(setting, mine)
        server.create(mine.name, cities.DECLARATION["settings"])
        worker = mine.start()
        worker.wait_ready()
        began = time.time()
        report = json.loads(mine.cli("backfill", "cities", "--json"))
        took = time.time() - began
        one = report["backfill"]
        if (one["stage"], one["applied"], one["failed"]) != ("done", len(found), 0):
            raise NotMeasuredError(f"the backfill did not do its work: {one}")
        worker.stop()
        setting.say(f"backfill: {took:.1f} s; server batches {server.batches(mine.name)}")
        drained = _drain(setting, server, mine, len(found))
        server.delete(mine.name)
    server.close()
    detail = (
        f"{took:.1f} s from the command to its end, process start included; {drained:.1f} s for draining, without process start"
    )
    return [Figure("backfill", took / drained, "of draining the topic that it filled", Goal(at_most=1.3), detail)]


def _end(setting: Setting, mine: Site) -> int:
    consumer = Consumer({"bootstrap.servers": setting.stack.kafka_bootstrap, "group.id": f"{mine.name}-look"})
    try:
        return int(consumer.get_watermark_offsets(TopicPartition(mine.topic, 0), timeout=10)[1])
    finally:
        consumer.close()


def _forget(setting: Setting, mine: Site) -> None:
    """Take the first snapshot's rows out of the topic: what is in it then is the backfill's."""
    place = TopicPartition(mine.topic, 0, _end(setting, mine))
    for done in AdminClient({"bootstrap.servers": setting.stack.kafka_bootstrap}).delete_records([place]).values():
        done.result(30)


def _drain(setting: Setting, server: Server, mine: Site, count: int) -> float:
    """Seconds in which another group reads the same topic into another index."""
    other = Site(setting.stack, setting.folder)
    text = mine.config.read_text()
    for key, quoted in (("group", f'"{mine.name}"'), ("uid", f'"{mine.name}"')):
        text = text.replace(f"{key} = {quoted}", f'{key} = "{other.name}"')
    other.config.write_text(text.replace(f"{setting.folder}/{mine.name}.db", f"{setting.folder}/{other.name}.db"))
    server.create(other.name, cities.DECLARATION["settings"])
    worker = other.start()
    try:
        ready = worker.wait_ready()
        server.until_searchable(other.name, count, within_s=900)
        took = time.time() - ready
        setting.say(f"drain of the same topic: {took:.1f} s; server batches {server.batches(other.name)}")
    finally:
        worker.stop()
        server.delete(other.name)
    return took
