"""The evaluations of a study after its trials: which ones come next, from what the database knows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from objectives.results import Final, Reevaluation
from search.options.run_options import RunOptions
from spaces import Setting

if TYPE_CHECKING:
    from search.database.store import Store
    from search.scheduling.requests import FinalRequest


@final
class NoFinals:
    """The finals of a run that only tries settings: there are none."""

    def next_round(self) -> "list[FinalRequest]":
        return []

    def most_later(self) -> int:
        return 0

    def keep(self, final: Final | Reevaluation) -> None:
        """Keep nothing, since nothing is asked for."""


@dataclass(frozen=True)
class StudyFinals:
    """The evaluations of a study under seeds other than the search's.

    First the candidates for the answer are compared in rounds, and the worse ones are dropped. Then the answer is
    tested. Where cost is an objective, trials that are spread over the Pareto front are tested instead. screened:
    returns the setting that a screening recommends, once there is one. has_time: returns whether a further round of so
    many candidates ends in time; otherwise the answer is tested at once.
    """

    store: "Store"
    study: str
    options: RunOptions
    screened: Callable[[], Setting | None] = lambda: None
    has_time: Callable[[int], bool] = lambda candidates: True

    def next_round(self) -> "list[FinalRequest]":
        """Return what the next round lacks; nothing if all is done. It follows from the database alone."""
        from dashboards.selection.answer import answer_of, candidates_of, elimination_of, seeds_of
        from dashboards.selection.elimination import WORTHWHILE
        from search.reports.answer import spread
        from search.scheduling.requests import FinalRequest

        results, count = self.store.read_study(self.study), self.options.most_candidates
        if results.by_cost:
            tested = [trial.setting for trial in spread(results.pareto_front, count)]
        else:
            elimination = elimination_of(results, candidates_of(results, count, self.screened()))
            seeds, remaining = seeds_of(results), elimination.remaining
            if len(remaining) > 1 and elimination.rounds < len(seeds) and elimination.gain >= WORTHWHILE:
                seed = seeds[elimination.rounds]
                done = {(reevaluation.setting, reevaluation.seed) for reevaluation in results.reevaluations}
                missing = [setting for setting in remaining if (setting, seed) not in done]
                if self.has_time(len(missing)):
                    return [FinalRequest(setting, seed, test=False) for setting in missing]
            answer = answer_of(results, elimination)
            tested = [] if answer is None else [answer]
        final_seeds = range(self.options.seed + 1, self.options.seed + 1 + self.options.rounds)
        done = {(final.setting, final.seed) for final in results.finals}
        return [
            FinalRequest(setting, seed) for setting in tested for seed in final_seeds if (setting, seed) not in done
        ]

    def most_later(self) -> int:
        """Return the most evaluations after the round that comes next: of the further rounds, and the tests."""
        from dashboards.selection.answer import candidates_of, elimination_of, seeds_of

        results = self.store.read_study(self.study)
        if results.by_cost:
            return 0
        elimination = elimination_of(results, candidates_of(results, self.options.most_candidates, self.screened()))
        rounds = max(len(seeds_of(results)) - elimination.rounds - 1, 0)
        return rounds * len(elimination.remaining) + self.options.rounds

    def keep(self, final: Final | Reevaluation) -> None:
        if isinstance(final, Final):
            self.store.record_final(self.study, final)
        else:
            self.store.record_reevaluation(self.study, final)
