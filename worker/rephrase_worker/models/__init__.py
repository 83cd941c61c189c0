"""The model: pinned while planning, and brought to every worker as a local folder.

`contents` decides which files of a repository a worker needs, `delivery` pins a model and fetches it.
"""
