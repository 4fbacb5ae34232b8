"""Random trials: an operation, one or two acts against it, and what exo holds in the end against what was said.

python -m tests.trials --seeds 1-500            a line a seed, a summary by kind; 1 on any false verdict
python -m tests.trials --seeds 17-17 -v         one seed, with its timeline
"""
