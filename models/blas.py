"""How BLAS shares the processor with the rest of a worker; apart, for what goes to a model server has no need of it."""

from __future__ import annotations

from threadpoolctl import threadpool_limits


def calm_blas() -> None:
    """Have every matrix product of this process made by the thread that asks for it, from here on.

    BLAS's own threads wait for the next product by spinning. A worker's products are small and come every few
    milliseconds: a thread that helped with them took four fifths of a core and made nothing faster.
    """
    threadpool_limits(1, user_api="blas")
