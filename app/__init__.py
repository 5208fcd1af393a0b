"""The dashboard: a Bokeh application over ``vizcore.engine`` and the run library.

``main`` builds one page per visit from ``session``, which joins ``controls``, ``stream``, ``curves`` and
``evidence`` to the engine; ``hub`` holds what belongs to the process; ``routes`` gives frames, health and
metrics; ``serve`` is the command.  Nothing here imports torch.
"""
