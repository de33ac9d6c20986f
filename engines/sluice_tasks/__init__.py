"""What the drivers for Ray and for Slurm share: the list of tasks, what is done, processes and exit statuses.

A driver starts `sluice task` for each task of the list, waits and retries. It knows nothing of records.
"""
