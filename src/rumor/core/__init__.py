"""The protocol without I/O, clock or global randomness: facts in, orders out."""
