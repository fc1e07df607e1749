"""The least that takes events: a WebSocket server that acknowledges every message.

Run in a process of its own, so that it takes nothing from what is measured; prints its port.
"""

from __future__ import annotations

import re
import socket
import threading
from base64 import b64encode
from hashlib import sha1

_IDS = re.compile(rb'"id":("[^"]*")')
_KEY = re.compile(rb"(?i)sec-websocket-key: *(\S+)")
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def main() -> None:
    """Serve until killed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            connection, _ = server.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()


def serve(connection: socket.socket) -> None:
    """Shake hands, then answer each text with the ids of its events."""
    with connection, connection.makefile("rb") as file:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += file.readline()
        found = _KEY.search(head)
        assert found is not None
        accept = b64encode(sha1(found[1] + _MAGIC).digest())
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        while head := file.read(2):
            size = head[1] & 0x7F
            if size > 125:
                size = int.from_bytes(file.read(2 if size == 126 else 8), "big")
            mask = file.read(4) * (size // 4 + 1)
            text = int.from_bytes(file.read(size), "big") ^ int.from_bytes(mask[:size], "big")
            if head[0] & 0x0F == 1:
                ids = _IDS.findall(text.to_bytes(size, "big"))
                answer = b'{"reportedIds":[' + b",".join(ids) + b"]}"
                connection.sendall(b"\x81\x7f" + len(answer).to_bytes(8, "big") + answer)


if __name__ == "__main__":
    main()
