"""Figures of ticket-12: distance fields, features of coordinates, and volume rendering in a flat world."""

from functools import cache

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from scripts.dl import fourier_features as ff
from scripts.dl import signed_distance as sd
from scripts.dl import volume_rendering as vr
from scripts.experiments import flatland as flat
from scripts.experiments import fourier_image as photo
from scripts.experiments import sdf
from scripts.figures import figure
from scripts.figures.numbers import number, ticks
from scripts.figures.style import WIDTH, Theme, pyplot

# --- Signed distance -------------------------------------------------------------------------------------------------

PETALS = 0.18
LEVELS = np.arange(-0.3, 0.61, 0.1)
EYE, LOOK = np.array([-0.60, -1.12]), np.array([1.0, 0.90])


exact_distance = cache(sdf.exact)


@cache
def distance_errors() -> dict[str, float]:
    """Mean absolute error over the square, and mean of |‖∇f‖ - 1|, with the eikonal term and without."""
    found = {}
    for name, petals, weight in (("circle", 0.0, sdf.EIKONAL), ("with", PETALS, sdf.EIKONAL), ("without", PETALS, 0.0)):
        record = sdf.sdf(petals, weight)
        found[name] = float(np.abs(record["field"] - exact_distance(petals)).mean())
        found[f"{name}, slope"] = float(np.abs(record["slope"] - 1).mean())
    return found


@cache
def walk() -> tuple[np.ndarray, np.ndarray, bool]:
    """Positions and free radii of sphere tracing towards the trefoil, and whether the ray met it."""
    outline = sdf.contour(PETALS, 720)[0]
    direction = LOOK / np.linalg.norm(LOOK)
    t, met = sd.sphere_trace(lambda x: sd.polygon(x, outline), EYE, direction, far=3.0, tolerance=1e-3)
    points = EYE + t[:, None] * direction
    return points, np.abs(sd.polygon(points, outline)), met


@figure
def distance(theme: Theme) -> Figure:
    drawing = pyplot.figure(figsize=(WIDTH, 6.0))
    places = drawing.subplot_mosaic([["with", "without"], ["walk", "walk"]], height_ratios=(1, 1.12))
    line = np.linspace(-sdf.REGION, sdf.REGION, sdf.GRID)
    outline = np.vstack([sdf.contour(PETALS, 360)[0], sdf.contour(PETALS, 360)[0][:1]])
    for name, title, weight in (("with", "с эйконалом", sdf.EIKONAL), ("without", "без него", 0.0)):
        panel, field = places[name], sdf.sdf(PETALS, weight)["field"]
        panel.contour(line, line, exact_distance(PETALS), LEVELS, colors=theme.ink, linewidths=1.1, linestyles=":")
        panel.contour(line, line, field, LEVELS, colors=theme.forward, linewidths=0.9, linestyles="-")
        panel.plot(*outline.T, color=theme.backward, linewidth=2)
        panel.set_title(title)
    points, radii, _ = walk()
    places["walk"].fill(*outline.T, color=theme.surface)
    places["walk"].plot(*outline.T, color=theme.backward, linewidth=2)
    for point, free in zip(points, radii, strict=True):
        places["walk"].add_patch(Circle(point, free, fill=False, color=theme.forward, linewidth=0.9))
    places["walk"].plot(*points.T, color=theme.forward, marker="o", markersize=3.5, linewidth=1)
    places["walk"].set_title("марш по сферам")
    places["walk"].set(xlim=(-1.2, 0.95), ylim=(-1.3, 0.65))
    for panel in places.values():
        panel.set_aspect("equal")
        panel.grid(visible=False)
        panel.set_xticks([])
        panel.set_yticks([])
        for spine in panel.spines.values():
            spine.set_visible(False)
    return drawing


# --- Spectral bias ---------------------------------------------------------------------------------------------------

SCALES = (0, 1, 3, 10, 20, 40)
SHOWN = (0, 1, 10, 40)
SHADES = 24  # of grey in a drawing: keeps the file small


@cache
def photo_psnr() -> np.ndarray:
    """Decibels at the end of training, (scales, 2): on the pixels that were trained on, and on the others."""
    return np.array([[photo.fourier_image(s)[name][-1] for name in ("train_psnr", "test_psnr")] for s in SCALES])


@figure
def photograph(theme: Theme) -> Figure:
    drawing = pyplot.figure(figsize=(WIDTH, 6.6))
    places = drawing.subplot_mosaic([["truth", "0", "1"], ["board", "10", "40"], ["psnr"] * 3], height_ratios=(3, 3, 4))
    pictures = {
        "truth": (np.round(photo.photograph() * SHADES) / SHADES, "оригинал"),
        "board": (np.where(photo.chequerboard(), photo.photograph(), np.nan), "что видела сеть"),
    }
    for scale in SHOWN:
        title = "без признаков" if scale == 0 else f"$s={scale}$"
        pictures[str(scale)] = (np.round(photo.fourier_image(scale)["image"] / 255 * SHADES) / SHADES, title)
    for name, (picture, title) in pictures.items():
        # the board only shows if its squares are seen one by one
        shown = picture[36:60, 18:42] if name == "board" else picture
        places[name].imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="none")
        places[name].set_facecolor(theme.accent)
        places[name].set_title(title if name != "board" else "вход (фрагмент)", fontsize=9)
        places[name].set_xticks([])
        places[name].set_yticks([])
        places[name].grid(visible=False)
    panel, spots = places["psnr"], np.arange(len(SCALES))
    for column, label, colour, marker in ((0, "обучающие пиксели", "forward", "o"), (1, "скрытые", "backward", "s")):
        panel.plot(
            spots, photo_psnr()[:, column], color=getattr(theme, colour), marker=marker, markersize=5, label=label
        )
    panel.set_xticks(spots, ["нет", *SCALES[1:]])
    panel.set(xlabel="разброс частот $s$, периодов на сторону", ylabel="PSNR, дБ", ylim=(0, 50))
    panel.legend(loc="upper left")
    return drawing


CELLS, HIDDEN = 512, 3
KERNELS = (
    ("$L=1$", "bad", "-"), ("$L=4$", "forward", "-"), ("$L=7$", "good", "-"),
    ("$s=3$", "backward", "--"), ("$s=10$", "accent", "--"),
)  # fmt: skip


@cache
def kernels() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Differences Δ in parts of the scene, [0, 1), and normalised kernels of the features.

    NeRF's coordinate runs over [-1, 1], twice as long as the scene's [0, 1]. Both kinds are periodic, the second one up
    to exp(-44).
    """
    difference = np.arange(CELLS) / CELLS
    nearest = np.minimum(difference, 1 - difference)
    found = {f"$L={L}$": ff.octave_kernel(2 * difference, L) for L in (1, 4, 7)}
    found |= {f"$s={s}$": ff.random_kernel(nearest, s) for s in (3, 10)}
    return difference, found


@cache
def spectra() -> dict[str, np.ndarray]:
    """Eigenvalues of the network's kernel by the frequency 0 … CELLS / 2 of the eigenfunction, sum over all = 1."""
    eigenvalues = {}
    for name, kernel in kernels()[1].items():
        values = np.maximum(np.fft.rfft(ff.ntk(kernel, HIDDEN)).real, 0)
        eigenvalues[name] = values / (values[0] + 2 * values[1:-1].sum() + values[-1])
    return eigenvalues


@figure
def kernel(theme: Theme) -> Figure:
    drawing, (top, bottom) = pyplot.subplots(2, 1, figsize=(WIDTH, 5.6))
    difference, found = kernels()
    near = difference <= 0.5
    frequencies = np.arange(1, 129)
    for name, colour, line in KERNELS:
        style = {"color": getattr(theme, colour), "linestyle": line, "label": name, "linewidth": 1.5}
        top.plot(difference[near], found[name][near], **style)
        values = spectra()[name][frequencies]
        bottom.plot(frequencies, values, **style)
    top.set(xlabel=r"расстояние $\Delta$, доли сцены", ylabel="ядро признаков", ylim=(-1.05, 1.08))
    top.legend(ncol=5, loc="lower left", bbox_to_anchor=(-0.02, 1.0), handlelength=1.3, columnspacing=1.0)
    bottom.set(
        xscale="log", yscale="log", xlabel="частота, периодов на сцену", ylabel="собственное число", ylim=(3e-6, 0.7)
    )
    bottom.set_xticks([1, 2, 4, 8, 16, 32, 64, 128])
    bottom.minorticks_off()
    bottom.xaxis.set_major_formatter(ticks())
    for axis in (top.xaxis, top.yaxis):
        axis.set_major_formatter(ticks())
    return drawing


# --- Volume rendering ------------------------------------------------------------------------------------------------

COARSE, FINE = 24, 48


@cache
def ray() -> dict[str, np.ndarray]:
    """The trained flat world along one ray: `t`, `density`, `colours`; and where it truly enters and leaves discs."""
    found = flat.flatland(16, 6)
    origin, direction = flat.inspected_ray()
    spans = []
    for disc in flat.DISCS:
        offset = origin - (disc.x, disc.y)
        along = offset @ direction
        root = along**2 - offset @ offset + disc.radius**2
        if root > 0:
            spans.append([-along - np.sqrt(root), -along + np.sqrt(root)])
    return {
        "t": found["ray_positions"],
        "density": found["ray_density"].astype(float),
        "colours": found["ray_colours"].astype(float),
        "spans": np.array(spans),
    }


def field_at(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Density (n,) and colours (n, 3) at positions t of the ray, linear between the recorded ones."""
    density = np.interp(t, ray()["t"], ray()["density"])
    colours = np.stack([np.interp(t, ray()["t"], channel) for channel in ray()["colours"].T], axis=-1)
    return density, colours


@cache
def samples() -> dict[str, np.ndarray]:
    """Coarse positions in the middles of equal bins, their weights, and the fine positions drawn from these."""
    edges = np.linspace(flat.NEAR, flat.FAR, COARSE + 1)
    coarse = vr.stratified(flat.NEAR, flat.FAR, COARSE, 1)[0]
    weights = vr.weights(field_at(coarse)[0], np.diff(edges))
    return {"coarse": coarse, "weights": weights, "fine": vr.refine(edges, weights, FINE)}


@figure
def along_ray(theme: Theme) -> Figure:
    drawing, (top, middle, bottom) = pyplot.subplots(3, 1, figsize=(WIDTH, 6.2), sharex=True)
    t, density = ray()["t"], ray()["density"]
    step = t[1] - t[0]
    left = vr.transmittance(density, np.full_like(t, step))[:-1]
    for panel in (top, middle, bottom):
        for enter, leave in ray()["spans"]:
            panel.axvspan(enter, leave, color=theme.surface, linewidth=0)
    top.plot(t, density, color=theme.forward)
    top.set(ylabel=r"плотность $\sigma$")
    middle.plot(t, left, color=theme.good)
    middle.set(ylabel=r"прозрачность $\mathcal{T}$", ylim=(-0.04, 1.08))
    bottom.plot(t, left * density, color=theme.backward)
    bottom.set(ylabel=r"$\mathcal{T}\sigma$", xlabel="расстояние $t$ от камеры", ylim=(-2.6, None))
    for name, height, colour, label in (("coarse", -0.8, "muted", "грубые"), ("fine", -1.9, "extra", "точные")):
        spots = samples()[name]
        bottom.plot(spots, np.full(len(spots), height), "|", color=getattr(theme, colour), markersize=7, label=label)
    bottom.set_yticks([0, 2, 4])
    bottom.legend(loc="upper right", ncol=2, handletextpad=0.1)
    bottom.xaxis.set_major_formatter(ticks())
    middle.yaxis.set_major_formatter(ticks())
    return drawing


def _error(edges: np.ndarray, positions: np.ndarray) -> float:
    """Error of the pixel (root mean square over RGB) when each bin is asked at one position."""
    exact = _pixel(np.linspace(flat.NEAR, flat.FAR, EXACT_BINS + 1))
    return float(np.sqrt(np.mean((_pixel(edges, positions) - exact) ** 2)))


def _pixel(edges: np.ndarray, positions: np.ndarray | None = None) -> np.ndarray:
    density, colours = field_at((edges[1:] + edges[:-1]) / 2 if positions is None else positions)
    return vr.render(density, np.diff(edges), colours, np.array(flat.BACKGROUND))


@cache
def sampling_errors() -> tuple[float, float]:
    """Of the pixel with coarse and fine positions together, and with as many in the middles of equal bins."""
    together = np.sort(np.concatenate([samples()["coarse"], samples()["fine"]]))
    between = (together[1:] + together[:-1]) / 2
    equal = np.linspace(flat.NEAR, flat.FAR, COARSE + FINE + 1)
    return _error(np.array([flat.NEAR, *between, flat.FAR]), together), _error(equal, (equal[1:] + equal[:-1]) / 2)


BINS = (4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
EXACT_BINS = 20_000


@cache
def quadratures() -> dict[str, np.ndarray]:
    """For every number of equal bins: the sum of weights and the error of the pixel (root mean square over RGB).

    `alpha` weighs a bin with T α, `sum` with T σ δ, the integral's Riemann sum with the same T.
    """

    def pixel(bins: int, kind: str) -> tuple[float, np.ndarray]:
        t = vr.stratified(flat.NEAR, flat.FAR, bins, 1)[0]
        density, colours = field_at(t)
        widths = np.full(bins, (flat.FAR - flat.NEAR) / bins)
        left = vr.transmittance(density, widths)
        w = vr.weights(density, widths) if kind == "alpha" else left[:-1] * density * widths
        return w.sum(), w @ colours + left[-1] * np.array(flat.BACKGROUND)

    exact = pixel(EXACT_BINS, "alpha")[1]
    found = {}
    for kind in ("alpha", "sum"):
        totals, pixels = zip(*(pixel(bins, kind) for bins in BINS), strict=True)
        found[f"{kind}, total"] = np.array(totals)
        found[f"{kind}, error"] = np.sqrt(np.mean((np.array(pixels) - exact) ** 2, axis=1))
    return found


@figure
def quadrature(theme: Theme) -> Figure:
    drawing, (top, bottom) = pyplot.subplots(2, 1, figsize=(WIDTH, 4.9), sharex=True)
    for kind, label, colour, marker in (
        ("alpha", r"вес $\mathcal{T}_i\alpha_i$", "forward", "o"),
        ("sum", r"вес $\mathcal{T}_i\sigma_i\delta_i$", "bad", "s"),
    ):
        style = {"color": getattr(theme, colour), "marker": marker, "markersize": 4.5, "label": label}
        top.plot(BINS, quadratures()[f"{kind}, total"], **style)
        bottom.plot(BINS, quadratures()[f"{kind}, error"], **style)
    top.axhline(1, color=theme.muted, linestyle=":", linewidth=1.2)
    top.set(ylabel="сумма весов", ylim=(0.6, None))
    top.legend(loc="upper right")
    bottom.set(xscale="log", yscale="log", ylabel="ошибка пикселя", xlabel="точек на луче")
    bottom.set_xticks([4, 8, 16, 32, 64, 128])
    bottom.minorticks_off()
    bottom.xaxis.set_major_formatter(ticks())
    top.yaxis.set_major_formatter(ticks())
    return drawing


FOG, FOG_BINS, TARGETS = 0.35, 60, (("красный", (1.0, 0.0, 0.0), "bad"), ("белый", (1.0, 1.0, 1.0), "muted"))


@cache
def push() -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Even fog on a ray from 0 to 4, blue in front, red behind, white background: positions, the pixel, and for each
    target colour the direction -∂‖pixel - target‖² / ∂σ per unit of length in which gradient descent moves σ."""
    t = vr.stratified(0, 4, FOG_BINS, 1)[0]
    widths, density = np.full(FOG_BINS, 4 / FOG_BINS), np.full(FOG_BINS, FOG)
    red = (t > 2)[:, None]
    colours = np.where(red, [[0.9, 0.1, 0.1]], [[0.1, 0.1, 0.9]])
    white = np.ones(3)
    pixel = vr.render(density, widths, colours, white)
    slopes = vr.density_gradient(density, widths, colours, white) / widths[:, None]
    return t, pixel, {name: -2 * slopes @ (pixel - target) for name, target, _ in TARGETS}


@figure
def density_push(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 3.0))
    t, _, pushes = push()
    panel.axvspan(0, 2, color=theme.forward, alpha=0.14, linewidth=0)
    panel.axvspan(2, 4, color=theme.bad, alpha=0.14, linewidth=0)
    panel.axhline(0, color=theme.muted, linewidth=1)
    for name, _, colour in TARGETS:
        line = "-" if name == "красный" else "--"
        panel.plot(t, pushes[name], color=getattr(theme, colour), linestyle=line, label=f"цель {name}")
    panel.set(xlabel="расстояние $t$ от камеры", ylabel=r"куда сдвинут $\sigma$", xlim=(0, 4))
    panel.legend(loc="lower left", bbox_to_anchor=(0, 1), ncol=2)
    panel.xaxis.set_major_formatter(ticks())
    panel.yaxis.set_major_formatter(ticks())
    return drawing


# --- The flat world --------------------------------------------------------------------------------------------------

RUNS = ((16, 6, "16 камер, $L=6$"), (16, 0, "16 камер, без γ"), (3, 6, "3 камеры, $L=6$"))
LAYER = 0.1  # thickness of the layer whose opacity the map shows


@cache
def test_psnr() -> dict[tuple[int, int], tuple[float, float]]:
    """Final decibels on the training and on the held-out views, by (cameras, octaves)."""
    found = {}
    for key in ((16, 6), (16, 0), (3, 6), (16, 4), (16, 10)):
        record = flat.flatland(*key)
        found[key] = float(record["train_psnr"][-1]), float(record["test_psnr"][-1])
    return found


test_psnr.__test__ = False  # the name is not pytest's


def painted(cameras: int, frequencies: int) -> np.ndarray:
    """(G, G, 4): the learned colour with the opacity of a layer of thickness LAYER."""
    record = flat.flatland(cameras, frequencies)
    opacity = vr.alphas(record["density"][-1].astype(float), LAYER)
    return np.concatenate([record["colours"] / 255, opacity[..., None]], axis=-1)


@figure
def flat_world(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(4, 2, figsize=(WIDTH, 8.6), width_ratios=(1, 1.25))
    extent = (-1.2, 1.2, -1.2, 1.2)
    for disc in flat.DISCS:
        panels[0, 0].add_patch(Circle((disc.x, disc.y), disc.radius, color=disc.colour, linewidth=0))
    panels[0, 0].set_title("сцена")
    panels[0, 1].set_title("новые виды")
    panels[0, 1].imshow(flat.flatland(16, 6)["truth"], aspect="auto", interpolation="none")
    for (left, right), (cameras, frequencies, title) in zip(panels[1:], RUNS, strict=True):
        left.imshow(painted(cameras, frequencies), origin="lower", extent=extent, interpolation="none")
        angles = flat.training_angles(cameras)
        left.plot(1.12 * np.cos(angles), 1.12 * np.sin(angles), "o", color=theme.ink, markersize=3)
        left.set_title(title)
        right.imshow(flat.flatland(cameras, frequencies)["views"][-1] // 16 * 17, aspect="auto", interpolation="none")
        right.set_title(f"{number(test_psnr()[cameras, frequencies][1], 1)} дБ", fontweight="normal")
    for left, right in panels:
        left.set(xlim=extent[:2], ylim=extent[2:], aspect="equal")
        right.set_ylabel("камера", fontsize=9)
        for panel in (left, right):
            panel.set_xticks([])
            panel.set_yticks([])
            panel.grid(visible=False)
    panels[-1, 1].set_xlabel("пиксель", fontsize=9)
    return drawing
