"""A local server of downloads that can fail on request."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileServer:
    """A server's address, what it serves, how it fails, and the requests it received.

    files: path → content.
    status: the HTTP status of every answer to a path that exists.
    compresses: send gzip to clients that accept it; byte ranges then count compressed bytes.
    ignores_ranges: send the whole file, with status 200, to clients that want a part of it.
    cut_after: the number of bytes after which the connection of each of the next answers is dropped.
    requests: (path, Range header) of each request, in order.
    """

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    status: int = 200
    compresses: bool = False
    ignores_ranges: bool = False
    cut_after: list[int] = field(default_factory=list)
    requests: list[tuple[str, str | None]] = field(default_factory=list)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        byte_range = request.headers.get("Range")
        self.requests.append((request.path, byte_range))
        content = self.files.get(request.path)
        packed = self.compresses and "gzip" in request.headers.get("Accept-Encoding", "")
        if content is not None and packed:
            content = gzip.compress(content, mtime=0)
        status = 404 if content is None else self.status
        wanted = None if self.ignores_ranges else byte_range
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        body = content[start:] if content is not None and status == 200 else b"no such file"
        request.send_response(206 if start and status == 200 else status)
        if packed:
            request.send_header("Content-Encoding", "gzip")
        request.send_header("Content-Length", str(len(body)))
        if content is not None and start and status == 200:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        request.end_headers()
        request.wfile.write(body[: self.cut_after.pop(0)] if self.cut_after else body)


@contextmanager
def serve_files() -> Iterator[FileServer]:
    """Serve files on a free local port until the context ends; the test sets them on the server it gets."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.answer(self)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server = FileServer(f"http://127.0.0.1:{http.server_port}")
    thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    http.shutdown()
    http.server_close()
    thread.join()
