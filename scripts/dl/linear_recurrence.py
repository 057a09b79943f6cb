"""The linear recurrence h_t = a_t ⊙ h_{t-1} + u_t, step by step and by a parallel scan.

The gates `a` and the inputs `u` are arrays (T, H) that do not depend on h: then a step is an affine map, affine maps
compose into affine maps, and all prefixes can be composed in about log2 T rounds. This is how state-space models with
a diagonal transition train (Gu & Dao, 2023, arXiv 2312.00752; scan: Blelloch, 1990; Martin & Cundy, 2018, 1709.04057).
"""

import numpy as np


# --8<-- [start:scan]
def sequential(a, u):
    """All states from h_0 = 0: T steps, each waits for the last."""
    h, states = np.zeros_like(u[0]), []
    for a_t, u_t in zip(a, u, strict=True):
        h = a_t * h + u_t
        states.append(h)
    return np.stack(states)


def parallel(a, u):
    """The same states and the number of rounds: about log2 T."""
    a, u, reach, rounds = a.copy(), u.copy(), 1, 0
    while reach < len(u):  # map t holds steps t - reach + 1 … t
        u[reach:] = a[reach:] * u[:-reach] + u[reach:]
        a[reach:] = a[reach:] * a[:-reach]
        reach, rounds = 2 * reach, rounds + 1
    return u, rounds


# --8<-- [end:scan]
