"""Runs of Sluice on a Ray cluster, task by task."""
