"""Runs: the engine that decides, the workers that do. Imports `schemas` and `store`; never `reconciler`."""
