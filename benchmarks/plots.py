"""Draws plots of what was measured, as small SVG files.

uv run --with matplotlib benchmarks/plots.py    # draws those of the documentation again, from figures.json
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from figures import FILE, PLOTTED_WORK, Row, read
from measuring import HERE, MICROSECONDS, OURS, installed, number

DOCS = HERE.parent / "docs"

OURS_COLOUR, OTHER_COLOUR, GOAL_COLOUR, TEXT_COLOUR = "#2563a8", "#9aa7b4", "#c2410c", "#4a5560"
COLOURS = ("#2563a8", "#c2410c", "#2e8b57", "#7a4fa3", "#b8860b", "#6b7280", "#d1569b", "#0f8b8d", "#8c564b")

RATIOS, TIMELINE = "performance-ratios.svg", "performance-timeline.svg"
SIZES = {
    "calls": "performance-calls.svg",
    "links": "performance-links.svg",
    "managers": "performance-managers.svg",
    "unfinished calls": "performance-end.svg",
}
"""By what there are many of, the plot of what each costs."""

HEADINGS = (
    "A call and its result: time, as a multiple of ours",
    "A chain of 3 calls: time, as a multiple of ours",
    "1,000 calls at once: time, as a multiple of ours",
    "A with block of 3: time, as a multiple of ours",
)

MATPLOTLIB = {
    # Text stays text: small files, and the reader's own font.
    "svg.fonttype": "none",
    # The same figures give the same file.
    "svg.hashsalt": "parallel",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": TEXT_COLOUR,
    "axes.labelcolor": TEXT_COLOUR,
    "axes.edgecolor": TEXT_COLOUR,
    "xtick.color": TEXT_COLOUR,
    "ytick.color": TEXT_COLOUR,
}


def draw(rows: list[Row], folder: Path) -> list[Path]:
    """Draws what there are figures for; gives the files, none where matplotlib is not installed."""
    matplotlib = installed("matplotlib")
    if matplotlib is None:
        return []
    matplotlib.use("svg")
    matplotlib.rcParams.update(MATPLOTLIB)
    folder.mkdir(parents=True, exist_ok=True)
    (title,) = (row["text"] for row in rows if row.get("plot") == "title")
    drawn = []
    for plot, name, draw_one in (
        ("ratios", RATIOS, draw_ratios),
        ("timeline", TIMELINE, draw_timeline),
    ):
        plotted = [row for row in rows if row.get("plot") == plot]
        if plotted:
            figure = draw_one(installed("matplotlib.pyplot"), plotted)
            figure.suptitle(title, fontsize=8, x=0.99, ha="right")
            drawn.append(_save(figure, folder / name))
    for work, name in SIZES.items():
        figures = [row["figure"] for row in rows if row.get("script") == "sizes" and "figure" in row]
        plotted = [figure for figure in figures if figure[0] == work]
        if plotted:
            figure = draw_sizes(installed("matplotlib.pyplot"), plotted, title)
            drawn.append(_save(figure, folder / name))
    return drawn


def _save(figure: Any, file: Path) -> Path:
    figure.savefig(file, metadata={"Date": None})
    return file


def draw_ratios(pyplot: Any, rows: list[Row]) -> Any:
    """Bars: what each contestant took, where ``parallel`` took 1."""
    panels = [
        (heading, {row["contestant"]: row["times"] for row in rows if row["work"] == work})
        for work, heading in zip(PLOTTED_WORK.values(), HEADINGS)
    ]
    heights = [len(bars) + 1.5 for _, bars in panels]
    figure, axes = pyplot.subplots(
        len(panels), 1, figsize=(7, sum(heights) * 0.22 + 0.6), height_ratios=heights, layout="constrained"
    )
    for axis, (heading, bars) in zip(axes, panels):
        names = [OURS, *bars][::-1]
        values = [1.0, *bars.values()][::-1]
        # Where a contestant took very much longer, its bar would leave the others invisible.
        longest = min(max(values), 6.0)
        axis.barh(
            names, values, color=[OURS_COLOUR if name.startswith(OURS) else OTHER_COLOUR for name in names], height=0.7
        )
        for row, value in enumerate(values):
            # The bar of one that goes on beyond the edge says so.
            end = f" {value:.2f}" if value <= longest else f" {number(value)} \N{RIGHTWARDS ARROW}"
            axis.text(min(value, longest), row, end, va="center", fontsize=8)
        axis.axvline(1.0, color=OURS_COLOUR, linewidth=0.8)
        axis.set_xlim(0, longest * 1.12)
        axis.set_title(heading, loc="left", fontsize=9)
        axis.spines[["left", "bottom"]].set_visible(False)
        axis.tick_params(length=0)
        axis.set_xticks([])
    return figure


def draw_sizes(pyplot: Any, figures: list[Any], title: str) -> Any:
    """Lines: what each of many costs, by how many there are; to be read on a phone, where a point is a pixel."""
    lines: dict[str, list[tuple[int, float]]] = {}
    for _, contestant, _, cost, size in figures:
        lines.setdefault(contestant, []).append((size, cost))
    figure, axis = pyplot.subplots(figsize=(5, 3.4), layout="constrained")
    for index, (name, points) in enumerate(lines.items()):
        sizes, costs = zip(*sorted(points))
        is_ours = name.startswith(OURS)
        width, style = (2.4, "-") if is_ours else (1.4, "--")
        axis.plot(sizes, costs, style, color=COLOURS[index], linewidth=width, marker="o", markersize=4, label=name)
    ticks = [10**power for power in range(6) if 10**power <= max(figure[-1] for figure in figures)]
    axis.set(xscale="log", yscale="log", ylim=(1, None))
    axis.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axis.yaxis.set_major_formatter("{x:g}")
    axis.minorticks_off()
    axis.tick_params(labelsize=12)
    axis.grid(axis="y", linewidth=0.3)
    axis.set_title(f"{MICROSECONDS} each, by the number of {figures[0][0]}", loc="left", fontsize=12)
    figure.legend(loc="outside lower left", frameon=False, fontsize=11, borderaxespad=0)
    figure.text(0.99, 0.01, title, ha="right", fontsize=9)
    return figure


def draw_timeline(pyplot: Any, rows: list[Row]) -> Any:
    """Bars: when each of ten calls ran, in each of three ways."""
    ways: dict[str, list[tuple[float, float]]] = {row["way"]: row["seconds"] for row in rows}
    figure, axes = pyplot.subplots(len(ways), 1, sharex=True, figsize=(7, 4.2), layout="constrained")
    for axis, (name, times) in zip(axes, ways.items()):
        positions = range(len(times))
        axis.barh(
            positions,
            [end - start for start, end in times],
            left=[start for start, _ in times],
            color=OURS_COLOUR if name == OURS else OTHER_COLOUR,
            height=0.75,
        )
        whole = max(end for _, end in times)
        axis.axvline(whole, color=GOAL_COLOUR, linewidth=0.8)
        axis.annotate(
            f"{whole:.2f} s",
            (whole, len(times) / 2),
            xytext=(4, 0),
            textcoords="offset points",
            color=GOAL_COLOUR,
            va="center",
            fontsize=8,
        )
        axis.set_title(name, loc="left", fontsize=9)
        axis.invert_yaxis()
        axis.set_yticks([])
    axes[-1].set_xlabel("seconds")
    return figure


if __name__ == "__main__":
    print(*draw(read(FILE), DOCS), sep="\n")
