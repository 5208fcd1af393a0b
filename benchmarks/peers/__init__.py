"""vizcore beside the tools that people use instead, on the same networks, filters and sizes.

::

    environments  one virtual environment per tool, from the package index, sharing this environment's torch
    cases         what is compared: network, layer, filters, size
    tools/        one small driver per tool, all with the same four methods
    worker        the child process in which one tool runs; takes orders as lines of JSON
    rivals        the parent's side of that pipe
    speed         steps per second, the tools taking turns
    score         time to the score that torch-lucent reaches, and how natural the pictures are
    report        the tables and the plot of docs/benchmarks.md
"""
