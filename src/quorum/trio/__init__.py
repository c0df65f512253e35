"""The driver: what turns the pure core into a running server, on trio.

A driver is dull on purpose: it takes what has happened, steps the core, and does what the core
orders (`server`). Around that stand the inbox (`inbox`), the callers who wait (`pending`), the disk
(`disk`), the state machine (`applier`) and the network (`links` over TCP, `memory` inside one
process, both behind the protocol in `link`).
"""
