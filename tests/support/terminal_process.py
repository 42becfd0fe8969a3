"""A run without networks, for a test to watch on a terminal of its own.

python terminal_process.py WORKERS END, which is one of well, interrupted, before.
"""

import sys
import time

from rich.console import Console

from objectives.results import Accuracy, Epoch, Evaluation, Extracted, Final, Scored
from search.display.live_table import RunProgress
from search.scheduling.events import (
    FinalEnded,
    FinalsPlanned,
    FinalStarted,
    PartEnded,
    PartStarted,
    Progressed,
    ScreeningPlanned,
    TrialEnded,
    TrialStarted,
)
from search.scheduling.requests import FinalRequest, ScreeningRequest, TrialRequest
from search.workload import Workload
from spaces import SearchError, Setting

PAUSE = 0.3  # longer than from one drawing to the next


def setting(number: int) -> Setting:
    options = (("learning_rate", 0.001), ("weight_decay", 0.01), ("width", 512))
    return Setting(150, 19 + number, 4, "mlp", 4, options) if number % 2 else Setting(30, 24 + number, 2, "linear")


def workload(workers: int) -> Workload:
    return Workload(
        workers=workers,
        settings=2,
        screening_passes=600,
        trials=workers + 2,
        images=1437,
        timesteps=8,
        sampled_timesteps=12.0,
        rounds=(1,),
        tests=2,
        test_passes=360,
        pass_seconds=0.01,
        setting_seconds=0.05,
        fit_seconds=0.5,
        candidate_seconds=1.0,
    )


def screen(progress: RunProgress) -> None:
    part = ScreeningRequest((setting(0), setting(2)), 300)
    progress(ScreeningPlanned(2))
    progress(PartStarted(part))
    for report in (Extracted(120, 300, 120), Extracted(300, 300, 180), Scored(1, 2)):
        progress(Progressed(part, report))
        time.sleep(PAUSE)
    progress(PartEnded(part))


def main(workers: int, end: str) -> None:
    console = Console(soft_wrap=True)
    progress = RunProgress(console, trials=workers + 2, workload=workload(workers))
    with progress.showing():
        time.sleep(PAUSE)
        if end == "before":
            raise SearchError("no Ray today")
        screen(progress)
        requests = [TrialRequest(number, setting(number), 1) for number in range(workers + 2)]
        for request in requests[:workers]:
            progress(TrialStarted(request))
        for done in (300, 1437):
            progress(Progressed(requests[0], Extracted(done, 1437, 300)))
            progress(Progressed(requests[1], Epoch(7, Accuracy(1, 2))))
            time.sleep(PAUSE)
        progress(TrialEnded(requests[0], "failed", None, "ValueError: [nothing] is " + "very " * 20 + "good"))
        for each in requests[1:workers]:
            progress(TrialEnded(each, "complete", Evaluation(Accuracy(70 + each.number, 200), {}, 0, 0)))
        for each in requests[workers:]:
            progress(TrialStarted(each))
        time.sleep(PAUSE)
        if end == "interrupted":
            raise KeyboardInterrupt
        for each in requests[workers:]:
            progress(TrialEnded(each, "pruned", None, "pruned: behind"))
        compared = FinalRequest(setting(1), 1, test=False)
        progress(FinalsPlanned(1, test=False, later=2))
        progress(FinalStarted(compared))
        time.sleep(PAUSE)
        progress(FinalEnded(compared, Final(compared.setting, 1, Accuracy(8, 9), Accuracy(7, 9), 0.1, 0, 0)))
        progress(FinalsPlanned(2))
        for seed in (1, 2):
            final = FinalRequest(setting(1), seed)
            progress(FinalStarted(final))
            time.sleep(PAUSE)
            progress(FinalEnded(final, Final(final.setting, seed, Accuracy(8, 9), Accuracy(7, 9), 0.1, 0, 0)))


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]), sys.argv[2])
    except (KeyboardInterrupt, SearchError) as error:
        print("ended:", repr(error))  # noqa: T201 - as the command's last word
