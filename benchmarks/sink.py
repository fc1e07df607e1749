"""A server that takes everything, for the peers: answers HTTP with 200, and only reads all else.

Prints its port; ends when its standard input does.
"""

from __future__ import annotations

import re
import socket
import sys
import threading

_LENGTH = re.compile(rb"(?i)content-length: *(\d+)")
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


def main() -> None:
    """Serve until the standard input ends."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        threading.Thread(target=accept, args=(server,), daemon=True).start()
        sys.stdin.read()


def accept(server: socket.socket) -> None:
    """Serve each connection in a thread of its own."""
    while True:
        connection, _ = server.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


def serve(connection: socket.socket) -> None:
    """Read requests and answer them; what is no request is read to its end."""
    with connection, connection.makefile("rb") as file:
        while line := file.readline():
            if b" HTTP/1." not in line:
                while file.read(1 << 16):
                    pass
                return
            head = line
            while line not in (b"\r\n", b""):
                line = file.readline()
                head += line
            found = _LENGTH.search(head)
            if found is not None:
                file.read(int(found[1]))
            elif b"chunked" in head:
                while (size := int(file.readline(), 16)) or file.readline():
                    file.read(size + 2)
                    if not size:
                        break
            connection.sendall(_ANSWER)


if __name__ == "__main__":
    main()
