"""Numbers as Russian typography writes them: a decimal comma and a real minus."""

from matplotlib.ticker import FuncFormatter


def number(value: float, digits: int | None = None) -> str:
    """`value` with `digits` digits after the comma; None: as many as it needs, at most six significant."""
    text = f"{float(value):g}" if digits is None else f"{float(value):.{digits}f}"
    return text.replace(".", ",").replace("-", "−")


def ticks(digits: int | None = None) -> FuncFormatter:
    """Formatter of an axis, for `set_major_formatter`."""
    return FuncFormatter(lambda value, _: number(value, digits))
