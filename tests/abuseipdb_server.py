"""AbuseIPDB on loopback, as its documentation and its users describe it; driven by a clock.

Quotas by key, endpoint and day of UTC with their headers, one report of an address in 15 minutes,
validation, bulk files with answers for single lines, clear-address, check and check-block, and
errors as HTML for whoever does not ask for JSON.
"""

import csv
import io
import ipaddress
import json
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

DAY = 86400.0
LIMITS = {
    "report": 1000, "bulk-report": 5, "clear-address": 5, "check": 1000, "check-block": 100,
}  # fmt: skip
PREFIX = "/api/v2/"


class Report(NamedTuple):
    """A report that was saved."""

    time: float
    address: str
    categories: str
    comment: str
    timestamp: str
    how: str


class Refusal(Exception):
    def __init__(self, status, detail, headers=()):
        self.status, self.detail, self.headers = status, detail, dict(headers)


class AbuseIpdb:
    """`saved` is what was reported, `asked` every request: (method, path, headers, body).

    `way` spoils every answer: "hang", "html", "500", "cut", "401", "402", "403", "slow";
    `duplicate` is the status of a duplicate. `overruns` counts requests beyond a quota by endpoint.
    """

    def __init__(self, clock=time.time, *, key="0123456789abcdef", limits=None):
        self.clock, self.key, self.limits = clock, key, {**LIMITS, **(limits or {})}
        self.saved, self.asked, self.way, self.duplicate = [], [], "", 429
        self.used, self.overruns, self.known, self.last = Counter(), Counter(), {}, {}
        self.most_lines = 10_000
        self.lock, self.released = threading.Lock(), threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.asked.append((self.command, self.path, dict(self.headers), body))
                outer.meet(self, body)

            do_GET = do_POST = do_DELETE = handle_one  # noqa: N815  names of http.server

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.block_on_close = False
        self.url = f"http://127.0.0.1:{self.server.server_port}/api/v2"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.released.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    # Answers --------------------------------------------------------------------------------------

    def meet(self, handler, body):
        """Answers one request, in the way that is set."""
        if self.way == "hang":
            self.released.wait()
            return
        path, _, query = handler.path.partition("?")
        endpoint = path.removeprefix(PREFIX)
        headers = {}
        try:
            with self.lock:
                self.spoil()
                self.let_in(handler.headers)
                headers = self.spend(endpoint)
                values = dict(parse_qsl(query))
                status, data = 200, self.do(endpoint, handler, values, body)
        except Refusal as error:
            headers |= error.headers
            status, data = error.status, self.error(error)
        self.send(handler, status, data, headers)

    def send(self, handler, status, data, headers):
        plain = self.way == "html" or (status >= 400 and "json" not in handler.headers["Accept"])
        text = (
            b"<!DOCTYPE html><html><body>Oops</body></html>" if plain else json.dumps(data).encode()
        )
        handler.send_response(status)
        handler.send_header("Content-Type", "text/html" if plain else "application/json")
        for name, value in headers.items():
            handler.send_header(name, str(value))
        handler.send_header("Content-Length", str(len(text) + (10 if self.way == "cut" else 0)))
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.close_connection = True
        handler.wfile.write(text)

    @staticmethod
    def error(error):
        return {"errors": [{"detail": error.detail, "status": error.status}]}

    def spoil(self):
        if self.way == "500":
            raise Refusal(500, "Server Error")
        if self.way == "402":
            raise Refusal(402, "You must upgrade to use this feature.")
        if self.way in ("401", "403"):
            detail = f"Authentication failed for {self.key}. Your API key is either missing, ..."
            raise Refusal(int(self.way), detail)
        if self.way == "slow":
            raise Refusal(429, "Too many requests.", {"Retry-After": 90})

    def let_in(self, headers):
        if headers.get("Key") != self.key:
            raise Refusal(
                401, "Authentication failed. Your API key is either missing, incorrect, ..."
            )

    def spend(self, endpoint):
        """Counts a call; the headers that tell what is left."""
        if endpoint not in self.limits:
            raise Refusal(404, "Not found.")
        limit, today = self.limits[endpoint], int(self.clock() // DAY)
        headers = {"X-RateLimit-Limit": limit}
        if self.used[endpoint, today] >= limit:
            self.overruns[endpoint] += 1
            reset = (today + 1) * int(DAY)
            raise Refusal(
                429,
                f"Daily rate limit of {limit} requests exceeded for this endpoint. "
                "See headers for additional details.",
                {
                    **headers, "X-RateLimit-Remaining": 0, "X-RateLimit-Reset": reset,
                    "Retry-After": int(reset - self.clock()),
                },
            )  # fmt: skip
        self.used[endpoint, today] += 1
        return {**headers, "X-RateLimit-Remaining": limit - self.used[endpoint, today]}

    def do(self, endpoint, handler, values, body):
        if endpoint == "report":
            form = dict(parse_qsl(body.decode(), strict_parsing=True))
            self.save(form["ip"], form["categories"], form["timestamp"], form["comment"], "report")
            return {"data": {"ipAddress": form["ip"], "abuseConfidenceScore": 52}}
        if endpoint == "bulk-report":
            return {"data": self.bulk(self.file(handler.headers["Content-Type"], body))}
        if endpoint == "clear-address":
            assert handler.command == "DELETE"
            kept = [r for r in self.saved if r.address != values["ipAddress"]]
            self.last.pop(values["ipAddress"], None)
            gone, self.saved[:] = len(self.saved) - len(kept), kept
            return {"data": {"numReportsDeleted": gone}}
        return {"data": self.known.get(values.get("ipAddress") or values["network"], {})}

    # Reports --------------------------------------------------------------------------------------

    def fault(self, address, categories, timestamp):
        """What is wrong with a report, as a bulk file's answer names it."""
        try:
            if not ipaddress.ip_address(address).is_global:
                return "Invalid IP"
        except ValueError:
            return "Invalid IP"
        numbers = categories.split(",")
        if not all(n.isdigit() and 1 <= int(n) <= 23 for n in numbers) or len(numbers) > 30:
            return "Invalid Category"
        moment = datetime.fromisoformat(timestamp)
        if moment.tzinfo is None or not -60 * DAY <= moment.timestamp() - self.clock() <= 60:
            return "Invalid Date"
        return ""

    def repeated(self, address):
        return self.clock() - self.last.get(address, -DAY) < 900

    def save(self, address, categories, timestamp, comment, how):
        if fault := self.fault(address, categories, timestamp):
            raise Refusal(422, f"The report is not valid: {fault}.")
        if self.repeated(address):
            detail = f"You can only report the same IP address (`{address}`) once in 15 minutes."
            raise Refusal(self.duplicate, detail)
        self.keep(address, categories, timestamp, comment, how)

    def keep(self, address, categories, timestamp, comment, how):
        self.last[address] = self.clock()
        self.saved.append(Report(self.clock(), address, categories, comment[:1024], timestamp, how))

    @staticmethod
    def file(kind, body):
        """The field `csv` of a multipart form."""
        mail = BytesParser().parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
        [part] = mail.get_payload()
        assert part.get_param("name", header="content-disposition") == "csv"
        return part.get_payload(decode=True).decode()

    def bulk(self, text):
        rows = list(csv.reader(io.StringIO(text)))
        assert rows[0] == ["IP", "Categories", "ReportDate", "Comment"]
        if len(rows) - 1 > self.most_lines:
            raise Refusal(
                422,
                f"File uploaded has {len(rows) - 1} lines which exceeds the line limit of "
                f"{self.most_lines:,} lines.",
            )
        saved, invalid = 0, []
        for number, (address, categories, timestamp, comment) in enumerate(rows[1:], start=2):
            fault = self.fault(address, categories, timestamp)
            if not fault and self.repeated(address):
                fault = "Duplicate IP"
            if fault:
                invalid.append({"error": fault, "input": address, "rowNumber": number})
            else:
                saved += 1
                self.keep(address, categories, timestamp, comment, "bulk")
        return {"savedReports": saved, "invalidReports": invalid}


def moment(text):
    """Seconds of a timestamp that was reported."""
    return datetime.fromisoformat(text).astimezone(UTC).timestamp()


def endpoints(server):
    """How often each endpoint was asked."""
    return Counter(urlsplit(path).path.removeprefix(PREFIX) for _, path, _, _ in server.asked)
