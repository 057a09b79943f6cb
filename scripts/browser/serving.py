"""The built site served as GitHub Pages serves it: below a subpath, text compressed, 404.html for what is missing."""

import gzip
import mimetypes
import sys
import threading
from functools import lru_cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

PREFIX = "/repo/"

mimetypes.add_type("font/woff2", ".woff2")
mimetypes.add_type("text/javascript", ".js")
COMPRESSED = {".css", ".html", ".js", ".json", ".svg", ".xml"}


@lru_cache(maxsize=256)
def compressed(file: Path, _changed: int) -> bytes:
    return gzip.compress(file.read_bytes(), 6)


class Pages(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def translate_path(self, path: str) -> str:
        path = unquote(urlsplit(path).path)
        if not path.startswith(PREFIX):
            return str(Path(self.directory) / "there is nothing outside the subpath")
        return super().translate_path("/" + path.removeprefix(PREFIX))

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        file = Path(self.translate_path(self.path))
        if self.path.endswith("/"):
            file /= "index.html"
        if file.suffix in COMPRESSED and file.is_file():
            self.send_compressed(200, file)
        else:
            super().do_GET()

    def send_compressed(self, status: int, file: Path) -> None:
        body = compressed(file, file.stat().st_mtime_ns)
        self.send_response(status)
        self.send_header("Content-Type", self.guess_type(str(file)))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def list_directory(self, path: str) -> None:
        self.send_error(404)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        page = Path(self.directory) / "404.html"
        if code != 404 or not page.is_file():
            super().send_error(code, message, explain)
            return
        self.send_compressed(404, page)

    def log_message(self, *_args: object) -> None:
        pass


class SiteServer(ThreadingHTTPServer):
    """Takes a free port at once, so that the site can be built for its address, and serves when told to."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Pages)
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}{PREFIX}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that closes a page drops its connections; that is no error."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def serve(self, site: Path) -> None:
        self.RequestHandlerClass = partial(Pages, directory=str(site))
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
