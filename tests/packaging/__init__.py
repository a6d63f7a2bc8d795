"""
What is published, as far as it can be told without building it; the rest is in C{.ci/packaging.py}.
"""
