#!/usr/bin/env python3
"""Draws the figures of docs/figures.md from the data of `make bench`.

    scripts/plot.py [target/figures.json [docs/figures]]
"""

import json
import math
import pathlib
import sys

WIDTH, HEIGHT = 640, 340
LEFT, RIGHT, TOP, BOTTOM = 70, 150, 40, 45
# Colours that people who see few of them can tell apart, on white and on black.
COLOURS = {"devcontainerd": "#0072b2", "bare server": "#999999", "nginx": "#009e73", "Go server": "#d55e00",
           "docker ps and inspect": "#cc79a7"}
PLOTS = [
    ("served", "GET / cached, c=8", "answers per second", "per s"),
    ("memory", "resident memory", "resident memory", "kB"),
    ("start", "start to GET /", "start to the first list", "ms"),
    ("answer", "CPU of a cached answer, c=8", "CPU time of an answer from memory", "µs"),
    ("listing", "GET / uncached", "list that docker makes anew", "ms"),
]


def series(figures, what, kind):
    """Returns the medians of the daemon and of its peers by number of containers."""
    lines = {}
    for figure in figures:
        name, _, size = figure["figure"].rpartition(", ")
        if name != what or not size.endswith(" " + kind):
            continue
        count = int(size.split(" ")[0])
        lines.setdefault("devcontainerd", {})[count] = figure["is"]["median"]
        for peer in figure["peers"]:
            lines.setdefault(peer["what"], {})[count] = peer["is"]["median"]
    return lines


def ticks(low, high):
    return [10 ** power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]


def shown(value):
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def draw(title, unit, lines):
    """Returns an SVG with logarithmic axes."""
    points = [point for line in lines.values() for point in line.items()]
    counts = sorted({count for count, _ in points})
    values = [max(value, 1e-3) for _, value in points]
    scale = ticks(min(values), max(values))

    def x(count):
        low, high = math.log10(counts[0]), math.log10(max(counts[-1], counts[0] * 10))
        return LEFT + (math.log10(count) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(value):
        low, high = math.log10(scale[0]), math.log10(scale[-1])
        return HEIGHT - BOTTOM - (math.log10(max(value, 1e-3)) - low) / max(high - low, 1) * (HEIGHT - TOP - BOTTOM)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="14" font-weight="bold">{title} ({unit})</text>',
    ]
    for value in scale:
        out.append(f'<path d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        out.append(f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{shown(value)}</text>')
    for count in counts:
        out.append(f'<text x="{x(count):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{count:,}</text>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">containers</text>')
    labels = sorted(lines, key=lambda name: y(lines[name][max(lines[name])]))
    at = TOP
    for name in labels:
        line = sorted(lines[name].items())
        path = " ".join(f"{x(count):.1f},{y(value):.1f}" for count, value in line)
        colour = COLOURS.get(name, "black")
        width = 3 if name == "devcontainerd" else 1.5
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>')
        out += [f'<circle cx="{x(count):.1f}" cy="{y(value):.1f}" r="3" fill="{colour}"/>' for count, value in line]
        at = max(at + 15, y(line[-1][1]) + 4)
        out.append(f'<text x="{WIDTH - RIGHT + 8}" y="{at:.1f}" fill="{colour}">{name}</text>')
    return "\n".join(out + ["</svg>", ""])


def main():
    arguments = sys.argv[1:] + ["target/figures.json", "docs/figures"][len(sys.argv) - 1:]
    figures = json.loads(pathlib.Path(arguments[0]).read_text())["figures"]
    directory = pathlib.Path(arguments[1])
    directory.mkdir(parents=True, exist_ok=True)
    for file, what, title, unit in PLOTS:
        for kind in ("plain", "dev"):
            lines = series(figures, what, kind)
            if not lines:
                print(f"plot: no figure {what!r} for {kind} containers: run make bench ARGS=scale", file=sys.stderr)
                continue
            name = "dev containers" if kind == "dev" else "containers"
            (directory / f"{file}-{kind}.svg").write_text(draw(f"{title}, {name}", unit, lines))


main()
