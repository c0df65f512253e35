"""Consul's HTTP API in front of a catalog: an adapter, with no registry logic of its own.

    durations    Go's notation of durations
    options      what any query string may ask for: consistency, blocking, filters
    bodies       JSON from clients: keys in any case, values of known types, sizes with limits
    definitions  services and checks out of such bodies
    shapes       our values as Consul's JSON objects
    trouble      which error of ours is which status
    answers      JSON, errors and headers as Consul's clients expect them
    calls        one call as its handler sees it, and what becomes of errors
    asking       reads and writes of the catalog, as all handlers make them
    app          the routes, one line each
    server       Hypercorn on trio, with limits

The handlers are in files named for the parts of the API: kv, session, txn, health and so on.
"""
