"""DNS in front of a catalog, as Consul speaks it: an adapter, with no registry logic of its own.

names    what a name asks for; pure
zone     what the answer is made of: records of nodes and instances; pure
replies  a message for a message: sections, codes, sizes; pure
resolve  ask the catalog for what a name asks
server   UDP and TCP on trio, with limits; recursors for what is not ours
"""
