"""Two workers of one process and one key: the second looks only when the first has written."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock

from fhir_adapter.client import Found, Params
from fhir_adapter.ledger import Ledger
from fhir_adapter.writeback import ServerSink
from tests.writeback.memory_server import MemoryServer
from tests.writeback.proposals import propose


class SlowServer(MemoryServer):
    """Answers a search for ResearchSubjects late: whoever may, asks meanwhile.

    It knows no conditional create, which would hide that two have looked at once.
    """

    def __init__(self) -> None:
        super().__init__(conditional=False)
        self._both_asked = Event()
        self._looking = 0
        self._counting = Lock()

    def search(self, resource_type: str, params: Params) -> Found:
        found = super().search(resource_type, params)
        if resource_type == "ResearchSubject":
            with self._counting:
                self._looking += 1
                if self._looking > 1:
                    self._both_asked.set()
            self._both_asked.wait(0.3)
            with self._counting:
                self._looking -= 1
        return found


def test_the_same_proposal_sent_by_two_at_once_is_written_once(ledger: Ledger) -> None:
    server = SlowServer()
    sink = ServerSink(server, ledger)
    with ThreadPoolExecutor(2) as pool:
        sent = [pool.submit(sink.send, propose(), write=True) for _ in range(2)]
        written = [one.result(20) for one in sent]
    assert len(server.all("ResearchSubject")) == 1
    assert len(server.all("GuidanceResponse")) == 1
    assert sorted(bool(one.created) for one in written) == [False, True]
    assert not server._both_asked.is_set()
