"""`catalog demo`: a cluster of real processes, real work on it, and what kills it can take.

`story` tells it from the first process to the verdict; `processes` starts, kills and clears away;
`cluster` knows the agents, `load` writes keys and remembers which were acknowledged, `provider`
and `consumer` are processes of their own that offer and use a service; `display` shows it.
Nothing is imported here, so that the children start fast.
"""
