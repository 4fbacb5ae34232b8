"""Random trials: an operation is disturbed once or twice, and its result is compared with what exo holds.

python -m tests.trials --seeds 1-500            a line a seed, a summary by kind; 1 on any false result
python -m tests.trials --seeds 17-17 -v         one seed, with its timeline
"""
