"""Any process of the fake engine: `python process.py NAME`, in its node's directory.

It notes there in `events` when it starts, is told to read its files again, and ends, and says `NAME is ready`. A file
`NAME.does` changes that, by words: `unready` (never says so), `stubborn` (does not end on SIGTERM), `dies` (at once),
`chatter` (a line of 200 kB first). The client answers JSON-RPC on `client.ipc`: each time it is asked its block is one
higher.
"""

import json
import os
import signal
import socketserver
import sys
import threading
from pathlib import Path

name = sys.argv[1]
does = Path(f"{name}.does").read_text().split() if Path(f"{name}.does").exists() else []
state = {"block": 0}


def note(event: str) -> None:
    with Path("events").open("a") as events:
        events.write(f"{event} {name}\n")


class Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            request = json.loads(line)
            answer = {"jsonrpc": "2.0", "id": request["id"], "result": self.answer(request["method"])}
            self.wfile.write(json.dumps(answer).encode() + b"\n")

    def answer(self, method: str) -> object:
        if method == "fake_status":
            state["block"] += 1
            return state
        return "4" if method == "fake_admit" else None


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


def main() -> None:
    # Waited for: a handler's signal can come in the moment before a pause, which then lasts.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGHUP])
    note("start")
    if "dies" in does:
        sys.exit("Fatal: it dies")
    if name == "client":
        Path("client.ipc").unlink(missing_ok=True)
        threading.Thread(target=Server("client.ipc", Handler).serve_forever, daemon=True).start()
    print("x" * 200_000 if "chatter" in does else "hello", flush=True)
    if "unready" not in does:
        print(f"{name} is ready", flush=True)
    while True:
        if signal.sigwait([signal.SIGTERM, signal.SIGHUP]) == signal.SIGHUP:
            note("reload")
        elif "stubborn" not in does:
            note("end")
            os._exit(0)


main()
