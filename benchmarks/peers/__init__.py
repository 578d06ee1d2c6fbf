"""The other side of each comparison, used as its documentation does.

The peers read the same rows, teacher and targets as keras_kd. Where there are
two ways to do something, both are measured and the faster one counts.
"""
