"""A DNS server on loopback that answers from a table, broken and hostile answers included."""

import socket
import threading

import dns.flags
import dns.message
import dns.rcode
import dns.rrset


class StubDns:
    """Answers UDP questions from `zone`: {(name, type): [texts]}, and notes them in `asked`.

    A value of None is SERVFAIL, a name that is missing NXDOMAIN; without a zone all is SERVFAIL.
    """

    def __init__(self, zone):
        self.zone, self.asked = zone, []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._serve)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stop:
            stop.sendto(b"", ("127.0.0.1", self.port))
        self.thread.join()
        self.socket.close()

    def _serve(self):
        while True:
            data, peer = self.socket.recvfrom(4096)
            if not data:
                return
            self.socket.sendto(self._answer(dns.message.from_wire(data)).to_wire(), peer)

    def _answer(self, query):
        question = query.question[0]
        name, kind = str(question.name).rstrip(".").lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        texts = None if self.zone is None else self.zone.get((name, kind), [])
        if texts is None:
            reply.set_rcode(dns.rcode.SERVFAIL)
        elif texts:
            reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *texts))
        elif not any(known == name for known, _ in self.zone):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        return reply
