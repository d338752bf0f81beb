"""Draws pictures of lines over time. Standard input is one JSON object:

    {"file": "out.png", "title": "...", "xlabel": "seconds", "panels": [{"title": "...", "unit": "...", "series": [...]}]}

A series is {"name", "style", "points": [[x, y], ...]}; of style "line", "step", "dots" or "band", whose points are
[x, low, high]. A panel may have "max", the most that is shown, and "rules": [{"name", "y"}], level lines.
"""

from __future__ import annotations

import json
import sys

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

WIDTH, PANEL_HEIGHT = 11, 2.5
COLOURS = ("#1f6feb", "#d9480f", "#2b8a3e", "#862e9c", "#c92a2a", "#495057")


def draw(picture: dict) -> None:
    panels = picture["panels"]
    figure, axes = pyplot.subplots(len(panels), 1, figsize=(WIDTH, PANEL_HEIGHT * len(panels)), sharex=picture.get("sharex", True), squeeze=False)
    for axis, panel in zip(axes[:, 0], panels):
        draw_panel(axis, panel)
    axes[-1, 0].set_xlabel(picture["xlabel"])
    figure.suptitle(picture["title"], fontsize=11)
    figure.tight_layout()
    # No date and no version: the same run draws the same file.
    figure.savefig(picture["file"], dpi=110, metadata={"Software": None})


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
            axis.plot(columns[0], columns[1], "o", markersize=4, color=series.get("colour", COLOURS[4]), label=label, zorder=3)
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
    if panel.get("max") is not None:
        axis.set_ylim(top=panel["max"])
    # Beside the panel's title, where it hides nothing.
    axis.legend(fontsize=7, loc="lower right", bbox_to_anchor=(1, 1), ncol=6, frameon=False, borderaxespad=0.2)


if __name__ == "__main__":
    draw(json.load(sys.stdin))
