"""The flush cycle: take, translate, collect, send, settle, isolate, quarantine, hold, acknowledge.

Plain asyncio over `sync_worker.ports`; knows neither Faust nor HTTP. The invariants of `docs/architecture.md` live here.
"""
