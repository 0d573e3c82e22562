"""What a rehearsal calls session-manager-plugin: forwards a local port by a session. Standard library only: it runs in
the jobs.

Its words are those that the AWS CLI and Packer call it with: what StartSession answered, the region, the operation, the
profile, what StartSession was asked, and the address of the service. It ends with whoever called it."""

import json
import os
import socket
import sys
import threading
from contextlib import suppress
from urllib.parse import urlsplit

CHUNK = 1 << 16


def forward(here: socket.socket, there: socket.socket) -> None:
    """Bring what comes on one connection to the other one, to its end."""
    with suppress(OSError):
        while content := here.recv(CHUNK):
            there.sendall(content)
    with suppress(OSError):
        there.shutdown(socket.SHUT_WR)


def opened(connection: socket.socket, host: str, port: int, token: str) -> None:
    with connection, suppress(OSError), socket.create_connection((host, port)) as there:
        there.sendall(f"{token}\n".encode())
        back = threading.Thread(target=forward, args=(there, connection), daemon=True)
        back.start()
        forward(connection, there)
        back.join()


def ended_with(caller: int) -> None:
    """End this program when the one that called it ends."""
    event = threading.Event()
    while os.getppid() == caller:
        event.wait(0.5)
    os._exit(0)


def main() -> None:
    if len(sys.argv) < 2:
        print("The Session Manager plugin was installed successfully. Use the AWS CLI to start a session.")
        return
    session, asked = json.loads(sys.argv[1]), json.loads(sys.argv[5])
    stream = urlsplit(session["StreamUrl"])
    local = int(asked["Parameters"]["localPortNumber"][0])
    threading.Thread(target=ended_with, args=(os.getppid(),), daemon=True).start()
    with socket.create_server(("127.0.0.1", local)) as listener:
        print(f"Starting session with SessionId: {session['SessionId']}")
        print(f"Port {local} opened for sessionId {session['SessionId']}.\nWaiting for connections...", flush=True)
        while True:
            connection, _ = listener.accept()
            about = (connection, str(stream.hostname), int(stream.port or 0), session["TokenValue"])
            threading.Thread(target=opened, args=about, daemon=True).start()


if __name__ == "__main__":
    main()
