"""Runs of Sluice as array jobs of Slurm. Python's standard library only."""
