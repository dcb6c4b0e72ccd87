"""Many strategies and symbols on one cash account."""
