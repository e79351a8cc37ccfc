"""The roofline: how long operations and traffic take on one card (Williams 2009). Owns that formula alone."""

from __future__ import annotations


def seconds(*, operations: float, bytes_moved: float, rate_tflops: float, bandwidth_gb_s: float) -> float:
    """Seconds at full peak: the longer of operations over rate and bytes over bandwidth (Williams 2009, figure 1)."""
    return max(operations / (rate_tflops * 1e12), bytes_moved / (bandwidth_gb_s * 1e9))


def attainable_tflops(*, intensity: float, rate_tflops: float, bandwidth_gb_s: float) -> float:
    """TFLOPS that a kernel of `intensity` operations per byte can reach: min(peak, bandwidth × intensity) (Williams
    2009)."""
    return min(rate_tflops, bandwidth_gb_s * intensity / 1e3)
