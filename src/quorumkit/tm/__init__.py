"""The builtin transaction manager: keeps the payloads of private transactions and brings them to their parties.

Pure: `wire` (bytes on the network), `enclave` (NaCl), `config` (tm.conf), `parties` (who may be spoken to).
Shell: `store` (SQLite), `peers` (HTTP to other transaction managers), `manager` (what a request does),
`api` (HTTP requests from GoQuorum and from peers), `server` (sockets, signals).
"""
