"""How bytes reach a server, and how its answers come back.

`net` opens a connection: names, addresses, proxy, TLS. `websocket` and `http`
speak the two protocols over what it opened. Nothing here knows what an event
is, logs, or starts a thread that outlives a connect.

The worker calls these modules, and imports them no sooner than it connects.
"""
