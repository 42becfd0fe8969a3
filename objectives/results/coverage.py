"""How much of a space a study has seen: which values of each choice were tried, and which were only screened."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from spaces import Setting, Space

Value = int | str | None


@dataclass(frozen=True, slots=True)
class ChoiceCoverage:
    """The values of one choice.

    choice: "timestep", "block", "pool", "head", "draws" or "taps". values: those of the space, in its order. tried:
    those of complete trials. screened: those that the screening before the search scored.
    """

    choice: str
    values: tuple[Value, ...]
    tried: tuple[Value, ...]
    screened: tuple[Value, ...] = ()

    @property
    def untried(self) -> tuple[Value, ...]:
        """The values of the space without a complete trial."""
        return tuple(value for value in self.values if value not in self.tried)

    @property
    def unseen(self) -> tuple[Value, ...]:
        """The values of the space that were neither tried nor screened."""
        return tuple(value for value in self.untried if value not in self.screened)


VALUES: dict[str, Callable[[Setting], tuple[Value, ...]]] = {
    "timestep": lambda setting: tuple(tap.timestep for tap in setting.taps),
    "block": lambda setting: tuple(tap.block for tap in setting.taps),
    "pool": lambda setting: (setting.pool,),
    "head": lambda setting: (setting.head,),
    "draws": lambda setting: (setting.draws,),
    "taps": lambda setting: (len(setting.taps),),
}
"""Choice → the values that a setting has of it."""

OF_SPACE: dict[str, str] = {choice: choice if choice in ("draws", "taps") else f"{choice}s" for choice in VALUES}
"""Choice → the dimension of a `Space`."""


def coverage(space: Space, tried: Iterable[Setting], screened: Iterable[Setting] = ()) -> tuple[ChoiceCoverage, ...]:
    """Return the coverage of each choice of the space, without noise draws and taps where there is only one number.

    An encoder has no timestep. A screening chooses no head, so it covers none.
    """
    tried, screened = list(tried), list(screened)
    listed = []
    for choice, values_of in VALUES.items():
        values: tuple[Value, ...] = getattr(space, OF_SPACE[choice])
        if len(values) > 1 or (choice not in ("draws", "taps") and values != (None,)):
            seen = {value for setting in tried for value in values_of(setting)}
            only = {value for setting in screened for value in values_of(setting)} if choice != "head" else set()
            listed.append(
                ChoiceCoverage(
                    choice,
                    values,
                    tuple(value for value in values if value in seen),
                    tuple(value for value in values if value in only),
                )
            )
    return tuple(listed)
