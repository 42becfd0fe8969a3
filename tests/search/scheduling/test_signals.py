"""Signals of this process itself."""

import signal
import threading

import pytest

from search.scheduling.signals import at_first_signal


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_handled_and_the_second_goes_to_the_handler_from_before(
    first: signal.Signals, second: signal.Signals
) -> None:
    heard: list[str] = []
    before = {number: signal.signal(number, lambda *_: heard.append("before")) for number in (first, second)}
    try:
        with at_first_signal(lambda: heard.append("first")):
            signal.raise_signal(first)
            signal.raise_signal(second)
        signal.raise_signal(first)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert heard == ["first", "before", "before"]


def test_another_thread_handles_no_signal() -> None:
    handlers: list[object] = []

    def work() -> None:
        with at_first_signal(lambda: None):
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGINT)]
