"""Draws pictures of lines over time. Standard input is a list of them in JSON:

    [{"file": "out.png", "title": "...", "xlabel": "seconds", "panels": [{"title": "...", "unit": "...", "series": [...]}]}]

A series is {"name", "style", "points": [[x, y], ...]}; of style "line", "step", "dots" or "band", whose points are
[x, low, high]. A panel may have "rules": [{"name", "y"}], level lines, "place": [x, y, width, height] on a grid of 24
columns as dashboards have it, and "isStat": only the newest value is shown, as a number.
"""

from __future__ import annotations

import json
import sys

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

# Inches: of a picture of panels one below the other, and of a dashboard and a unit of its grid.
WIDTH, PANEL_HEIGHT = 11, 2.5
DASHBOARD_WIDTH, UNIT_HEIGHT = 15, 0.38
TITLE_HEIGHT = 0.4
# Left, right, top and bottom of each panel of a dashboard.
MARGINS = (0.7, 0.15, 0.35, 0.4)
GRID_COLUMNS = 24
COLOURS = ("#1f6feb", "#d9480f", "#2b8a3e", "#862e9c", "#c92a2a", "#495057")
FLAGGED_COLOUR = "#c92a2a"

# Series in a legend; with more it would be all there is to see.
LEGEND_MAX = 6


def draw(picture: dict) -> None:
    panels = picture["panels"]
    if "place" in panels[0]:
        figure, axes = dashboard_axes(panels)
    else:
        figure, grid = pyplot.subplots(len(panels), 1, figsize=(WIDTH, PANEL_HEIGHT * len(panels)), sharex=True, squeeze=False)
        axes = list(grid[:, 0])
    for axis, panel in zip(axes, panels):
        if panel.get("isStat"):
            draw_stat(axis, panel)
        else:
            draw_panel(axis, panel)
    axes[-1].set_xlabel(picture["xlabel"], fontsize=8)
    figure.suptitle(picture["title"], fontsize=11)
    if "place" not in panels[0]:
        figure.tight_layout()
    # No date and no version: the same run draws the same file.
    figure.savefig(picture["file"], dpi=100, metadata={"Software": None})
    pyplot.close(figure)


def dashboard_axes(panels: list[dict]):
    """Axes where a dashboard has its panels, without the rows that are left empty."""
    used = sorted({row for panel in panels for row in range(panel["place"][1], panel["place"][1] + panel["place"][3])})
    row_of = {row: i for i, row in enumerate(used)}
    rows = len(used)
    height = UNIT_HEIGHT * rows + TITLE_HEIGHT
    figure = pyplot.figure(figsize=(DASHBOARD_WIDTH, height))
    unit_width = DASHBOARD_WIDTH / GRID_COLUMNS
    left, right, top, bottom = MARGINS

    def axes_at(x: int, y: int, w: int, h: int):
        begin = (x * unit_width + left, (rows - row_of[y] - h) * UNIT_HEIGHT + bottom)
        size = (w * unit_width - left - right, h * UNIT_HEIGHT - top - bottom)
        return figure.add_axes((begin[0] / DASHBOARD_WIDTH, begin[1] / height, size[0] / DASHBOARD_WIDTH, size[1] / height))

    return figure, [axes_at(*panel["place"]) for panel in panels]


def draw_stat(axis, panel: dict) -> None:
    values = [y for _, y in panel["series"][0]["points"] if y is not None]
    axis.axis("off")
    axis.text(0.5, 0.6, f"{values[-1]:.4g}" if values else "-", ha="center", va="center", fontsize=16)
    axis.text(0.5, 0.2, panel["unit"], ha="center", va="center", fontsize=8, color=COLOURS[-1])
    axis.set_title(panel["title"], fontsize=9)


def draw_panel(axis, panel: dict) -> None:
    colours = iter(COLOURS * 2)
    for series in panel["series"]:
        points = [[number if number is not None else float("nan") for number in point] for point in series["points"]]
        columns = list(zip(*points)) or [(), (), ()]
        label = series["name"]
        style = series.get("style", "line")
        if style == "band":
            axis.fill_between(columns[0], columns[1], columns[2], color="#adb5bd", alpha=0.45, linewidth=0, label=label)
        elif style == "dots":
            axis.plot(columns[0], columns[1], "o", markersize=4, color=series.get("colour", FLAGGED_COLOUR), label=label, zorder=3)
        else:
            drawstyle = "steps-post" if style == "step" else "default"
            axis.plot(columns[0], columns[1], linewidth=1.1, drawstyle=drawstyle, color=next(colours), label=label)
    for rule in panel.get("rules", []):
        axis.axhline(rule["y"], color="#868e96", linewidth=0.9, linestyle="--", label=rule["name"] or None)
    axis.set_title(panel["title"], fontsize=9, loc="left")
    axis.set_ylabel(panel["unit"], fontsize=8)
    axis.tick_params(labelsize=8)
    axis.grid(True, linewidth=0.3)
    if panel.get("from_zero", True):
        axis.set_ylim(bottom=0)
    # Beside the panel's title, where it hides nothing.
    handles, labels = axis.get_legend_handles_labels()
    if labels and (len(labels) > 1 or labels[0] != panel["title"]):
        room = {"ncol": 6, "loc": "lower right", "bbox_to_anchor": (1, 1), "frameon": False} if "place" not in panel else {"loc": "best"}
        axis.legend(handles[:LEGEND_MAX], labels[:LEGEND_MAX], fontsize=7, borderaxespad=0.2, **room)


if __name__ == "__main__":
    for one in json.load(sys.stdin):
        draw(one)
