"""The pure core: Raft as a function from events to effects."""
