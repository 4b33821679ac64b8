"""guard/lib/crew.py: processes that are kept running, and how they end."""

import asyncio
import os
import signal
import sys

from guard.lib.crew import Crew

READY = (
    "import os, socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); "
    "s.sendto(b'READY=1', os.environ['NOTIFY_SOCKET']); "
)
STAY = READY + "import time; time.sleep(60)"


def commands(*texts):
    """Python programs."""
    return [[sys.executable, "-c", text] for text in texts]


def run(crew_of):
    """Runs what `crew_of`, given a stop function, makes; its exit code."""

    async def main():
        def stop():
            crew.stop()

        crew = crew_of(stop)
        async with asyncio.timeout(30):
            return await crew.run()

    return asyncio.run(main())


def test_ready_when_all_are_and_ended_together():
    """Two that stay: ready once, and SIGTERM is enough."""
    told = []

    def crew_of(stop):
        def ready():
            told.append(1)
            stop()

        return Crew(commands(STAY, STAY), grace=20.0, final=(), ready=ready)

    assert run(crew_of) == 0
    assert told == [1]


def test_who_dies_is_started_again(tmp_path):
    """The second life of one that ends at once makes the crew ready."""
    mark = tmp_path / "mark"
    text = (
        f"import os, sys\nif not os.path.exists({str(mark)!r}):\n"
        f"    open({str(mark)!r}, 'w')\n    sys.exit(3)\n"
    )
    assert run(lambda stop: Crew(commands(text + STAY), grace=20.0, final=(), ready=stop)) == 0
    assert mark.exists()


def test_a_final_code_ends_all():
    """What will never work ends the others too, with its own code."""
    assert run(lambda stop: Crew(commands(STAY, "exit(78)"), grace=20.0, final={78})) == 78


def test_who_does_not_end_is_killed():
    """The grace is not for ever."""
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + STAY
    assert run(lambda stop: Crew(commands(deaf), grace=0.2, final=(), ready=stop)) == 0


def test_signals_reach_all(tmp_path):
    """SIGHUP to the crew is SIGHUP to each."""
    mark = tmp_path / "hup"
    text = (
        f"import signal; mark = lambda *_: open({str(mark)!r}, 'w').close(); "
        "signal.signal(signal.SIGHUP, mark); " + READY + "signal.pause(); signal.pause()"
    )

    def crew_of(stop):
        def ready():
            os.kill(os.getpid(), signal.SIGHUP)
            loop = asyncio.get_running_loop()

            def look():
                if mark.exists():
                    stop()
                else:
                    loop.call_later(0.02, look)

            look()

        return Crew(commands(text), grace=20.0, final=(), ready=ready)

    assert run(crew_of) == 0
