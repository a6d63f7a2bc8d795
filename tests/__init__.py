"""
The tests mirror the package; C{vectors} holds what others published.

Whatever Hypothesis makes up is the same in every run; it keeps no examples from one run to the next.
"""

from hypothesis import settings

settings.register_profile("devp2p", derandomize=True, deadline=None, max_examples=100, database=None)
settings.load_profile("devp2p")
