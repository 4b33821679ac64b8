"""An HTTP server on loopback that serves lists as the world does, well and badly."""

import gzip
import hashlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Page:
    """What one path answers."""

    def __init__(self, body=b"", *, status=200, kind="text/plain", headers=(), way=""):
        self.body, self.status, self.kind = body, status, kind
        self.headers, self.way = dict(headers), way


class ListServer:
    """`pages` by path; `asked` is every request: (path, headers)."""

    def __init__(self):
        self.pages, self.asked = {}, []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.asked.append((self.path, dict(self.headers)))
                page = outer.pages.get(self.path.partition("?")[0], Page(b"gone", status=404))
                outer.answer(self, page)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = False
        self.server.block_on_close = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def answer(self, handler, page):
        """Sends `page` in its way: whole, gzip, cut, slow, endless."""
        etag = '"' + hashlib.md5(page.body).hexdigest() + '"'
        fresh = page.status == 200 and handler.headers.get("If-None-Match") == etag
        body = b"" if fresh else page.body
        if page.way == "gzip" and not fresh:
            body = gzip.compress(body)
        handler.send_response(304 if fresh else page.status)
        if page.status == 200:
            handler.send_header("ETag", etag)
        if page.kind and not fresh:
            handler.send_header("Content-Type", page.kind)
        if page.way == "gzip" and not fresh:
            handler.send_header("Content-Encoding", "gzip")
        for name, value in page.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.close_connection = True
        try:
            if page.way == "cut":
                handler.wfile.write(body[: len(body) // 2])
            elif page.way == "slow":
                for at in range(len(body)):
                    handler.wfile.write(body[at : at + 1])
                    handler.wfile.flush()
                    time.sleep(0.05)
            else:
                handler.wfile.write(body)
        except OSError:
            pass
