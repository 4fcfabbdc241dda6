"""Lips against voice as a picture in the page: SVG drawn by pygal, coloured by the page's own style."""

from __future__ import annotations

from markupsafe import Markup

from ...protocol import Preview

WIDTH_PER_S, LEAST_WIDTH, HEIGHT = 56, 700, 170
"""Points; longer videos make wider charts, which the page lets scroll."""


def width(proof: Preview) -> int:
    """Return the width that the chart wants."""
    return max(LEAST_WIDTH, round(WIDTH_PER_S * len(proof.voice) / proof.curve_hz))


def draw(proof: Preview) -> Markup:
    """Return the two curves over seconds. All in it are numbers: nothing needs escaping."""
    import pygal  # here, because an idle daemon draws nothing
    from pygal.style import Style

    plain = dict.fromkeys(("background", "plot_background"), "transparent")
    pens = dict.fromkeys(("foreground", "foreground_strong", "foreground_subtle"), "currentColor")
    style = Style(**plain, **pens, colors=("var(--lips)", "var(--voice)"), font_family="inherit", label_font_size=12)
    chart = pygal.XY(
        style=style,
        width=width(proof),
        height=HEIGHT,
        margin=2,
        js=[],
        disable_xml_declaration=True,
        show_legend=False,
        show_dots=False,
        show_y_labels=False,
        show_y_guides=False,
        allow_interruptions=True,
        stroke_style={"width": 2},
    )
    seconds = max(len(proof.lips), len(proof.voice)) / proof.curve_hz
    chart.x_labels = list(range(int(seconds) + 1))
    for curve in (proof.lips, proof.voice):
        chart.add("", [(number / proof.curve_hz, value) for number, value in enumerate(curve)])
    return Markup(chart.render(is_unicode=True))
