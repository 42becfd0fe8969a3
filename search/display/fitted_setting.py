"""A setting in a table of the terminal: abbreviated as far as its column is narrow, rather than cut."""

from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text

from dashboards.formatting import fitted_setting
from spaces import Setting


@dataclass(frozen=True)
class FittedSetting:
    """A cell of a rich table. Only a setting that is too long in its shortest form ends in an ellipsis."""

    setting: Setting

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(fitted_setting(self.setting, options.max_width), no_wrap=True, overflow="ellipsis")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(len(fitted_setting(self.setting, 0)), len(str(self.setting)))
