"""Shows an object in a notebook or an interpreter: as a short line, or as a small table with all text escaped."""

from collections.abc import Mapping
from html import escape

from spaces.text import one_line

MOST_CHARACTERS = 299
"""The longest `repr`. A longer one hides what was printed before it."""


def brief(text: str) -> str:
    """Return the text on one line, cut to `MOST_CHARACTERS` with an ellipsis at its end."""
    text = one_line(text)
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"


def html_table(title: str, facts: Mapping[str, object]) -> str:
    """Return an HTML table with a row for each fact. Facts that are None are left out."""
    rows = "".join(
        f'<tr><th scope="row" style="text-align:left">{escape(one_line(name))}</th>'
        f'<td style="text-align:left">{escape(one_line(str(value)))}</td></tr>'
        for name, value in facts.items()
        if value is not None
    )
    caption = f'<caption style="text-align:left;caption-side:top"><b>{escape(one_line(title))}</b></caption>'
    return f"<table>{caption}<tbody>{rows}</tbody></table>"


def ranges(numbers: tuple[int | None, ...]) -> str:
    """Return ascending numbers with runs of three or more as ranges: "4-9, 13"; an encoder's timestep is "none"."""
    runs: list[list[int]] = []
    for number in sorted(number for number in numbers if number is not None):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    texts = [f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return ", ".join(texts) or "none"
