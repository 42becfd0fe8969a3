"""A local server that answers as the Hugging Face hub does."""

import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def serve_hub(repositories: Mapping[str, Path]) -> Iterator[tuple[str, list[str]]]:
    """Serve folders as a hub; yield the hub's address and a list of the files that were downloaded, in order.

    `repositories` maps names such as models/nobody/tiny to folders. The dataset nobody/gated answers 403, as a
    dataset does whose terms the user has not accepted.
    """
    served: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, with_body: bool) -> None:
            path = unquote(self.path.partition("?")[0])
            for name, folder in repositories.items():
                files = {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}
                resolve = f"/{name.removeprefix('models/')}/resolve/{COMMIT}/"
                if path.startswith(f"/api/{name}/tree/"):
                    tree = [
                        {"type": "file", "path": file, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                        for file, content in files.items()
                    ]
                    return self._send(json.dumps(tree).encode(), with_body)
                if path.startswith(f"/api/{name}"):
                    siblings = [{"rfilename": file} for file in files]
                    about = {"id": name.partition("/")[2], "sha": COMMIT, "siblings": siblings}
                    return self._send(json.dumps(about).encode(), with_body)
                if path.startswith(resolve):
                    file = path.removeprefix(resolve)
                    if with_body:
                        served.append(file)
                    return self._send(files[file], with_body)
            gated = path.startswith("/api/datasets/nobody/gated")
            self.send_response(403 if gated else 404)
            self.send_header("X-Error-Code", "GatedRepo" if gated else "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _send(self, content: bytes, with_body: bool) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if with_body:
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def hub_environment(address: str, cache: Path) -> dict[str, str]:
    """Return the environment of a process that uses the hub at `address` and stores files in `cache`.

    huggingface_hub reads these variables when it is imported.
    """
    return os.environ | {
        "HF_ENDPOINT": address, "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "127.0.0.1",
    }  # fmt: skip
