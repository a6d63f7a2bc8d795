"""
What outlives the process.
"""
