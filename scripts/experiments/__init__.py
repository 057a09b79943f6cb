"""Experiments that take long: what they found is kept in `data/records/`, so that drawings and tests need not wait.

One module a topic, free of matplotlib. A module of figures draws what an experiment returns, a test of the page asserts
the numbers that the page prints; neither trains anything.
"""
