"""A web server on a loopback port whose every reply a test scripts."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, dict[str, str], Any]
"""Status, further headers, and the body: bytes, or what is told as JSON; None hangs up."""


class Loopback:
    """Serve until `close`; `reply` is given each request's path, headers and body (empty for a GET)."""

    def __init__(self, reply: Callable[[str, Any, bytes], Reply]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                status, headers, body = reply(self.path, self.headers, self.rfile.read(self._length()))
                if body is None:
                    self.close_connection = True
                    return
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST  # noqa: N815

            def _length(self) -> int:
                return int(self.headers["Content-Length"] or 0)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Answer no more; the port is free again."""
        self._server.shutdown()
        self._server.server_close()
