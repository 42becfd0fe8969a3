"""Makes proposals in a thread of its own, ahead of need, so that nobody waits for a slow sampler."""

import threading
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import final

from optuna.trial import FrozenTrial, TrialState, create_trial

from search.database.optuna_storage.parameters import distributions, to_params
from search.samplers.proposers import Proposer
from spaces import Setting, Space


@dataclass(frozen=True, slots=True)
class Situation:
    """The facts from which a proposal is made.

    trials: the own trials of the study. tried: the settings that must not be proposed. finished: how many of the trials
    are complete or pruned.
    """

    trials: tuple[FrozenTrial, ...]
    tried: Collection[Setting]
    finished: int

    def as_the_newest_began(self) -> "Situation":
        """Return the situation when the newest trial had just begun.

        A proposal that is made ahead knows no more. So a run that was started again proposes the same.
        """
        newest = self.trials[-1] if self.trials else None
        if newest is None or newest.state not in (TrialState.COMPLETE, TrialState.PRUNED):
            return self
        began = create_trial(state=TrialState.RUNNING, params=newest.params, distributions=newest.distributions)
        began.number = newest.number
        return Situation((*self.trials[:-1], began), self.tried, self.finished - 1)


@dataclass(frozen=True, slots=True)
class _Proposal:
    """A setting to try. finished: how many trials the study had finished when the proposal was begun."""

    setting: Setting
    finished: int


@final
class Proposals:
    """Proposes settings for the workers of one run. All proposals are made in a thread that is not the caller's.

    Whenever a trial has begun, one proposal is made for the next, and one for each worker that has no trial. More are
    made, up to one for each worker, if some were needed while the last ones were made. A proposal takes running trials
    and earlier proposals into account as its sampler does. The cost-aware sampler predicts their scores, and then takes
    the predictions for scores: the kriging believer of Ginsbourger, Le Riche & Carraro 2010, "Kriging is well-suited to
    parallelize optimization". TPE takes their scores for bad (its constant liar).

    A proposal is thrown away if another run has tried its setting meanwhile. All are thrown away if more than
    `2 * workers` trials, and more than a tenth of all before, have finished since they were begun. With one worker,
    each proposal is begun when the trial before it has begun, and knows all results but that trial's. So it depends
    on nothing else than the proposer does.
    """

    def __init__(self, proposer: Proposer, space: Space, workers: int = 1) -> None:
        self.proposer = proposer
        self.space = space
        self.workers = workers
        self._changed = threading.Condition()
        self._queue: deque[_Proposal] = deque()
        self._wanted: tuple[Situation, int] | None = None
        self._at_work = False
        self._exhausted = False
        self._error: BaseException | None = None
        self._taken = self._taken_meanwhile = 0
        self._round = 0

    def next_free(self, situation: Situation) -> Setting | None:
        """Return a proposal whose setting nobody has tried, or None where there is none yet or none any more.

        It is returned again until its setting was tried, since the database may fail to create its trial. Raises the
        error that ended the last attempt to make one.
        """
        with self._changed:
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            self._drop_tried(situation)
            if self._queue and self._is_stale(self._queue[0], situation):
                self._discard()
            return self._queue[0].setting if self._queue else None

    @property
    def exhausted(self) -> bool:
        """Whether no free setting is left to propose."""
        with self._changed:
            return self._exhausted and not self._queue

    def prepare(self, situation: Situation, free: int) -> None:
        """Begin to make the proposals that will be needed next. free: the number of workers that have no trial."""
        with self._changed:
            self._drop_tried(situation)
            if self._missing(free) > 0:
                self._wanted = situation, free
                self._start()

    def prepare_now(self, situation: Situation, free: int) -> None:
        """Begin to make the proposals that are needed already, unless some are being made."""
        with self._changed:
            if not self._at_work:
                self._wanted = situation.as_the_newest_began(), free
                self._start()

    def pass_over(self) -> None:
        """Take note of a trial that began without a proposal. With one worker, the next proposal must know of it."""
        with self._changed:
            if self.workers == 1:
                self._discard()

    def wait(self, seconds: float) -> None:
        """Wait until a proposal is ready, or all that were asked for are made, but at most so long."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or not self._at_work, seconds)

    def _missing(self, free: int) -> int:
        if self._exhausted:
            return 0
        return min(max(free, 1) + self._taken_meanwhile, max(self.workers, free)) - len(self._queue)

    def _is_stale(self, proposal: _Proposal, situation: Situation) -> bool:
        new = situation.finished - proposal.finished
        return new > 2 * self.workers and new > proposal.finished // 10

    def _drop_tried(self, situation: Situation) -> None:
        while self._queue and self._queue[0].setting in situation.tried:
            self._queue.popleft()
            self._taken += 1

    def _discard(self) -> None:
        self._queue.clear()
        self._exhausted = False
        self._round += 1

    def _start(self) -> None:
        if not self._at_work:
            self._at_work = True
            threading.Thread(target=self._work, name="proposals", daemon=True).start()

    def _work(self) -> None:
        """Make what is wanted, until nothing is."""
        while True:
            with self._changed:
                wanted, self._wanted = self._wanted, None
                count = 0 if wanted is None else self._missing(wanted[1])
                if wanted is None or count <= 0:
                    self._at_work = False
                    self._changed.notify_all()
                    return
                round_, self._taken = self._round, 0
                queued = [proposal.setting for proposal in self._queue]
            settings, error = list[Setting](), None
            try:
                settings = several(self.proposer, wanted[0], self.space, queued, count)
            except BaseException as raised:  # the thread that wants a proposal raises it
                error = raised
            with self._changed:
                self._taken_meanwhile = self._taken
                if error is not None:
                    self._error = error
                    self._wanted = None
                elif round_ == self._round:
                    self._queue.extend(_Proposal(setting, wanted[0].finished) for setting in settings)
                    self._exhausted = len(settings) < count
                self._changed.notify_all()


def several(
    proposer: Proposer, situation: Situation, space: Space, expected: Sequence[Setting], count: int
) -> list[Setting]:
    """Return up to `count` proposals, fewer where no more settings are free.

    Each is made as if all before it, and the trials of the expected settings, were running. Such a trial has a negative
    number: it is in no study.
    """
    expected, proposed = [*expected], list[Setting]()
    while len(proposed) < count:
        running = [_expected_trial(-1 - index, setting, space) for index, setting in enumerate(expected)]
        setting = proposer.propose([*situation.trials, *running], space, {*situation.tried, *expected})
        if setting is None:
            break
        proposed.append(setting)
        expected.append(setting)
    return proposed


def _expected_trial(number: int, setting: Setting, space: Space) -> FrozenTrial:
    trial = create_trial(
        state=TrialState.RUNNING, params=to_params(setting), distributions=distributions(space, setting)
    )
    trial.number = number
    return trial
