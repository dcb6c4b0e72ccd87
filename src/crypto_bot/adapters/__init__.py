"""The outside world, one file each; a stage states the port it needs, an adapter implements it."""
