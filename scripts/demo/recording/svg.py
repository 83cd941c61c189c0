"""Draws a film as one SVG: all screens beside each other, moved behind a window by CSS.

Rows that occur on several screens are drawn once and used again, which keeps the file small. Viewers that run
no animation, and people who want none, see the still.
"""

from __future__ import annotations

from xml.sax.saxutils import escape

from scripts.demo.recording.film import COLUMNS, ROWS, Shot
from scripts.demo.recording.terminal import Row, Run, Style

CELL, LINE = 8.4, 18
"""Width of a character and height of a row at 14 px."""

PAD, TOP = 16, 38
WIDTH, HEIGHT = round(COLUMNS * CELL) + 2 * PAD, ROWS * LINE + TOP + PAD

COLORS = {
    "black": "#5c6370",
    "red": "#ff7a85",
    "green": "#8fd460",
    "yellow": "#e8c268",
    "blue": "#6cb2ff",
    "magenta": "#d68cf0",
    "cyan": "#5fcbd8",
    "white": "#d7dae0",
}


def draw(film: list[Shot], still: int, title: str) -> str:
    """The picture."""
    names: dict[Row, str] = {}
    for shot in film:
        for row in filter(None, shot.screen):
            names.setdefault(row, f"r{len(names)}")
    rows = "".join(f'<g id="{name}">{"".join(map(_run, row))}</g>' for row, name in names.items())
    screens = "".join(f'<g transform="translate({WIDTH * number})">{_screen(shot, names)}</g>'
                      for number, shot in enumerate(film))  # fmt: skip
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img" aria-label="{escape(title)}"><title>{escape(title)}</title>'
        f"<style>{_style(film, still)}</style><defs>{rows}</defs>"
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#1b1f27"/>'
        '<circle cx="20" cy="19" r="5.5" fill="#ff5f57"/><circle cx="38" cy="19" r="5.5" fill="#febc2e"/>'
        '<circle cx="56" cy="19" r="5.5" fill="#28c840"/>'
        f'<svg x="{PAD}" y="{TOP}" width="{WIDTH - 2 * PAD}" height="{ROWS * LINE}">'
        f'<g class="film">{screens}</g></svg></svg>\n'
    )


def _style(film: list[Shot], still: int) -> str:
    total = sum(shot.seconds for shot in film)
    frames, at = [], 0.0
    for number, shot in enumerate(film):
        frames.append(f"{100 * at / total:.2f}%{{transform:translateX({-WIDTH * number}px)}}")
        at += shot.seconds
    colors = "".join(f".{name}{{fill:{color}}}" for name, color in COLORS.items())
    return (
        "text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#d7dae0;"
        "white-space:pre}"
        f"{colors}.b{{font-weight:700}}.d{{opacity:.62}}.i{{font-style:italic}}"
        f".film{{transform:translateX({-WIDTH * still}px);animation:film {total:.1f}s step-end infinite}}"
        f"@keyframes film{{{''.join(frames)}}}"
        "@media(prefers-reduced-motion:reduce){.film{animation:none}}"
    )


def _screen(shot: Shot, names: dict[Row, str]) -> str:
    return "".join(
        f'<use href="#{names[row]}" y="{LINE * number}"/>' for number, row in enumerate(shot.screen) if row
    )


def _run(run: Run) -> str:
    """Characters with the width that they have in a terminal, whatever the viewer's font."""
    style = _classes(run.style)
    return (
        f'<text x="{run.column * CELL:.4g}" y="14" textLength="{len(run.text) * CELL:.4g}"{style}>'
        f"{escape(run.text)}</text>"
    )


def _classes(style: Style) -> str:
    color = style.color if style.color in COLORS else ""
    flags = (("b", style.bold), ("d", style.dim), ("i", style.italic))
    classes = " ".join([*filter(None, [color]), *(name for name, on in flags if on)])
    fill = f' style="fill:{style.color}"' if style.color.startswith("#") else ""
    return (f' class="{classes}"' if classes else "") + fill
