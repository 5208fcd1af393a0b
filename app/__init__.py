"""The dashboard: a Bokeh application over ``vizcore.engine`` and the run library.

``main`` builds one document per visit from ``session``, which shows one of ``pages``; ``hub`` holds what belongs to the
process; ``routes`` gives frames, lists, health and metrics; ``serve`` is the command.  Nothing here imports torch.
"""
