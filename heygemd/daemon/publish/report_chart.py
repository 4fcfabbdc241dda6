"""The chart of mouth opening and loudness in the report: SVG by pygal, coloured by the page's style."""

from __future__ import annotations

from markupsafe import Markup

from ...protocol import Preview

WIDTH_PER_S, LEAST_WIDTH, HEIGHT = 56, 700, 170
"""Pixels; longer videos get wider charts, which scroll in the page."""


def width_px(preview: Preview) -> int:
    """Return the width of the chart."""
    return max(LEAST_WIDTH, round(WIDTH_PER_S * len(preview.voice) / preview.curve_hz))


def draw(preview: Preview) -> Markup:
    """Return the two curves over time. It contains only numbers, so nothing needs escaping."""
    import pygal  # imported here: an idle daemon draws nothing
    from pygal.style import Style

    plain = dict.fromkeys(("background", "plot_background"), "transparent")
    pens = dict.fromkeys(("foreground", "foreground_strong", "foreground_subtle"), "currentColor")
    style = Style(**plain, **pens, colors=("var(--lips)", "var(--voice)"), font_family="inherit", label_font_size=12)
    chart = pygal.XY(
        style=style,
        width=width_px(preview),
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
    seconds = max(len(preview.lips), len(preview.voice)) / preview.curve_hz
    chart.x_labels = list(range(int(seconds) + 1))
    for curve in (preview.lips, preview.voice):
        chart.add("", [(number / preview.curve_hz, value) for number, value in enumerate(curve)])
    return Markup(chart.render(is_unicode=True))
