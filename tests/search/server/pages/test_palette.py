"""The colours of reports and pages: text has a contrast of 4.5 to what is behind it, light and dark (WCAG 2.2 AA)."""

import re

import pytest

from search.server.pages.rendering import assets

PAIRS = [
    *((text, behind) for text in ("ink", "soft", "accent", "bad", "good") for behind in ("paper", "raised")),
    ("paper", "accent"),  # a button
]


def palettes() -> dict[str, dict[str, str]]:
    """Return the custom properties of the light and of the dark page."""
    css = assets()["style.css"].content.decode()
    light: dict[str, str] = {}
    dark: dict[str, str] = {}
    for before, block in re.findall(r"([^{}]*\{)?\s*:root \{([^}]*)\}", css):
        colours = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6})", block))
        (dark if "dark" in before else light).update(colours)
    return {"light": light, "dark": dark}


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour such as #0072b2, as WCAG defines it."""
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("name", ["light", "dark"])
def test_text_can_be_read(name: str) -> None:
    palette = palettes()[name]
    for text, behind in PAIRS:
        low, high = sorted((luminance(palette[text]), luminance(palette[behind])))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (text, behind)
