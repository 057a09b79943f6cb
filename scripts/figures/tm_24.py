"""Figures of tm-24: how a flat NeRF grows and what spoils it, one ray of it, and what the direction of view is for."""

from functools import cache

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from scripts.dl import volume_rendering as vr
from scripts.experiments import flatland as world
from scripts.figures import figure
from scripts.figures.numbers import number, ticks
from scripts.figures.style import WIDTH, Theme, pyplot

OCTAVES = 6  # of γ in the flat world
HELD_OUT = 24  # the test camera whose view is shown
BIN = (world.FAR - world.NEAR) / world.BINS
GOOD = (16, OCTAVES)  # cameras, octaves
SPOILED = {"без γ": (16, 0), "3 камеры": (3, OCTAVES)}


def opacity(density: np.ndarray) -> np.ndarray:
    """Opacity of a piece of a ray as long as one bin: the density on a scale from 0 to 1."""
    return vr.alphas(density.astype(float), BIN)


def view(result: world.Result, moment: int = -1) -> np.ndarray:
    """The held-out 1-D picture, (pixels, 3), as rendered at a moment of training."""
    return result["views"][moment, HELD_OUT] / 255


def _map(panel: Axes, theme: Theme, density: np.ndarray) -> None:
    """Opacity of the plane; the true discs as outlines."""
    edge = world.grid()[-1]
    extent = (-edge, edge, -edge, edge)
    panel.imshow(
        opacity(density), origin="lower", extent=extent, vmin=0, vmax=0.6, cmap=theme.sequential, interpolation="none"
    )
    for disc in world.DISCS:
        outline = Circle((disc.x, disc.y), disc.radius, fill=False, linewidth=1.0, edgecolor=theme.backward)
        panel.add_patch(outline)
    panel.set(xticks=[], yticks=[])
    panel.grid(visible=False)


def _strips(panel: Axes, theme: Theme, rows: list[np.ndarray], labels: list[str]) -> None:
    """1-D pictures under each other, a gap between them."""
    for row, picture in enumerate(rows):
        extent = (0, world.PIXELS, row + 0.9, row + 0.1)
        panel.imshow(picture[None], extent=extent, aspect="auto", interpolation="none")
        frame = Rectangle((0, row + 0.1), world.PIXELS, 0.8, fill=False, edgecolor=theme.muted, linewidth=0.6)
        panel.add_patch(frame)
    panel.set(xlim=(-0.3, world.PIXELS + 0.3), ylim=(len(rows), 0), xticks=[])
    panel.set_yticks(np.arange(len(rows)) + 0.5, labels)
    panel.tick_params(length=0)
    panel.grid(visible=False)
    for spine in panel.spines.values():
        spine.set_visible(False)


def _camera_mark(panel: Axes, theme: Theme) -> None:
    """An arrow on the rim of the map from where the held-out camera looks in."""
    outward = -world.camera_rays(float(world.test_angles()[HELD_OUT]), 1)[1][0]
    panel.annotate(
        "", xy=0.88 * outward, xytext=1.16 * outward, arrowprops={"arrowstyle": "-|>", "color": theme.bad, "lw": 1.8}
    )


# --- Training ------------------------------------------------------------------------------------------------------


@figure
def training(theme: Theme) -> Figure:
    good = world.flatland(*GOOD)
    stages = [(f"шаг {step}", good, moment) for moment, step in enumerate(good["steps"])]
    stages += [(name, world.flatland(*arguments), -1) for name, arguments in SPOILED.items()]
    drawing = pyplot.figure(figsize=(WIDTH, 6.6))
    layout = drawing.add_gridspec(3, 3, height_ratios=(1.85, 1.85, 2.5))
    for place, (name, result, moment) in enumerate(stages):
        panel = drawing.add_subplot(layout[place // 3, place % 3])
        _map(panel, theme, result["density"][moment])
        _camera_mark(panel, theme)
        panel.set_title(f"{name}: {number(result['test_psnr'][moment], 1)} дБ")
    strips = drawing.add_subplot(layout[2, :])
    rows = [view(result, moment) for _, result, moment in stages]
    _strips(strips, theme, [*rows, good["truth"][HELD_OUT]], [*(name for name, _, _ in stages), "истина"])
    strips.set_title("что видит камера-стрелка, которой не было в обучении")
    return drawing


# --- One ray -------------------------------------------------------------------------------------------------------


@cache
def ray() -> dict[str, np.ndarray]:
    """The trained field on one ray of a camera that was not trained on, in the bins between the recorded positions:
    middles `t`, `density`, `colours`, the weights `w`, `transmittance` at the ends of the bins, the `pixel`, the same
    pixel of the `photograph` (a mean over its width) and the `depth` of the light that stopped."""
    result = world.flatland(*GOOD)
    ends, density, colours = result["ray_positions"], result["ray_density"], result["ray_colours"]
    t, widths = (ends[1:] + ends[:-1]) / 2, np.diff(ends)
    density = ((density[1:] + density[:-1]) / 2).astype(float)
    colours = ((colours[1:] + colours[:-1]) / 2).astype(float)
    w = vr.weights(density, widths)
    return {
        "ends": ends, "t": t, "density": density, "colours": colours, "w": w,
        "transmittance": vr.transmittance(density, widths),
        "pixel": vr.render(density, widths, colours, np.array(world.BACKGROUND)),
        "photograph": result["truth"][world.INSPECTED],
        "depth": vr.expected_depth(w, t),
    }  # fmt: skip


def _coloured_area(panel: Axes, ends: np.ndarray, heights: np.ndarray, colours: np.ndarray) -> None:
    """Columns between neighbouring `ends`, each in the colour of the field there."""
    middles = (ends[1:] + ends[:-1]) / 2
    columns = [[(t, 0), (t, height)] for t, height in zip(middles, heights, strict=True)]
    panel.add_collection(LineCollection(columns, colors=np.clip(colours, 0, 1), linewidths=1.6, rasterized=True))


@figure
def one_ray(theme: Theme) -> Figure:
    values = ray()
    drawing, panels = pyplot.subplots(3, 1, figsize=(WIDTH, 5.6), sharex=True)
    density, transmittance, weight = panels
    widths = np.diff(values["ends"])
    _coloured_area(density, values["ends"], values["density"], values["colours"])
    density.plot(values["t"], values["density"], color=theme.ink, linewidth=0.9)
    density.set(ylabel=r"плотность $\sigma$", ylim=(0, 1.12 * values["density"].max()))
    transmittance.plot(values["ends"], values["transmittance"], color=theme.forward)
    transmittance.set(ylabel=r"прозрачность $\mathcal{T}$", ylim=(0, 1.08))
    per_length = values["w"] / widths
    _coloured_area(weight, values["ends"], per_length, values["colours"])
    weight.plot(values["t"], per_length, color=theme.ink, linewidth=0.9)
    weight.axvline(values["depth"], color=theme.backward, linestyle="--", linewidth=1.4)
    weight.annotate(
        f"средняя глубина {number(values['depth'], 2)}", (values["depth"], 0.9), xycoords=("data", "axes fraction"),
        xytext=(6, 0), textcoords="offset points", color=theme.backward,
    )  # fmt: skip
    weight.set(
        ylabel=r"вес на длину $\mathcal{T}\sigma$", ylim=(0, 1.12 * per_length.max()),
        xlabel="расстояние от камеры $t$", xlim=(world.NEAR, world.FAR),
    )  # fmt: skip
    for panel in panels:
        panel.xaxis.set_major_formatter(ticks())
        panel.yaxis.set_major_formatter(ticks())
    for name, label, bottom in (("pixel", "пиксель по полю", 0.72), ("photograph", "пиксель снимка", 0.46)):
        place, colour = transmittance.transAxes, np.clip(values[name], 0, 1)
        swatch = Rectangle((0.66, bottom), 0.055, 0.19, transform=place, edgecolor=theme.muted, facecolor=colour)
        transmittance.add_patch(swatch)
        transmittance.text(0.735, bottom + 0.09, label, transform=place, va="center")
    return drawing


# --- Direction of view ---------------------------------------------------------------------------------------------

RADIUS, COLOUR = world.DISCS[0].radius, np.array(world.DISCS[0].colour)
GLOSS, SHARPNESS = 0.9, 8  # strength and exponent of Phong's highlight
ANGLES = np.deg2rad(np.arange(-178.5, 180, 3))  # from the direction to the lamp; middles of the cells of the maps
CHOSEN = 69  # the point of the rim whose brightness is drawn: 28.5°


def _unit(angles: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1)


def appearance(surface: np.ndarray, cameras: np.ndarray) -> np.ndarray:
    """Colour (points, cameras, 3) of points on the rim of one polished disc, by the angle of the normal, from cameras
    by their angle; both from the direction to a distant lamp. NaN where the disc hides its own point."""
    normals, eyes = _unit(surface), world.DISTANCE * _unit(cameras)
    rays = RADIUS * normals[:, None] - eyes
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    towards = np.einsum("pcd,pd->pc", rays, normals)
    mirrored = rays - 2 * towards[..., None] * normals[:, None]
    lit = np.maximum(normals[:, :1], 0)
    glare = GLOSS * lit * np.maximum(mirrored[..., 0], 0) ** SHARPNESS
    return np.where(towards[..., None] < 0, COLOUR + glare[..., None] * (1 - COLOUR), np.nan)


@cache
def best_blind() -> dict[str, np.ndarray]:
    """The best colour that does not depend on the direction, with the shape known exactly: the mean over the 16
    training cameras that see the point. `truth` and `blind` (points, cameras, 3), `psnr` over all visible pairs."""
    colour = np.nanmean(appearance(ANGLES, world.training_angles(16)), axis=1)
    truth = appearance(ANGLES, ANGLES)
    blind = np.where(np.isfinite(truth), colour[:, None], np.nan)
    return {"truth": truth, "blind": blind, "psnr": -10 * np.log10(np.nanmean((truth - blind) ** 2))}


@figure
def direction(theme: Theme) -> Figure:
    values = best_blind()
    drawing = pyplot.figure(figsize=(WIDTH, 4.9))
    layout = drawing.add_gridspec(2, 2, height_ratios=(1.35, 1))
    titles = (("truth", "как есть"), ("blind", "без направления"))
    for column, (name, title) in enumerate(titles):
        panel = drawing.add_subplot(layout[0, column])
        picture = np.where(np.isfinite(values[name]), values[name], to_rgb(theme.surface))
        panel.imshow(np.clip(picture, 0, 1), origin="lower", extent=(-180, 180, -180, 180), interpolation="none")
        panel.axhline(np.rad2deg(ANGLES[CHOSEN]), color=theme.ink, linewidth=1.0, linestyle=":")
        panel.set(title=title, xlabel="где камера, °", xticks=range(-180, 181, 90), yticks=range(-180, 181, 90))
        panel.grid(visible=False)
        if column == 0:
            panel.set_ylabel("точка круга, °")
        else:
            panel.set_yticklabels([])
    lines = drawing.add_subplot(layout[1, :])
    for (name, label), colour, line in zip(titles, ("forward", "bad"), ("-", "--"), strict=True):
        brightness = values[name][CHOSEN].mean(axis=-1)
        lines.plot(np.rad2deg(ANGLES), brightness, color=getattr(theme, colour), linestyle=line, label=label)
    lines.set(xlabel="где камера, °", ylabel="яркость точки", xlim=(-180, 180), ylim=(0.2, 1.05))
    lines.set_xticks(range(-180, 181, 45))
    lines.yaxis.set_major_formatter(ticks())
    lines.legend(loc="upper left")
    return drawing
