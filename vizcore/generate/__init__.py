"""Generators: networks that paint pictures from codes, and chains of codes that walk towards what a unit looks for.

::

    generator   what a generator is: decode, encode, prior, box
    nets        the networks of those that are trained here
    training    training one behind a layer of a network
    files       a generator on disk
    published   generators of others: DeePSiM, TAESD
    shelf       which are at hand, from their cards
    names       from a name to a generator
    condition   what a chain walks towards: a class or a unit of a network
    spec        parameters of the walk, and the variants of the papers
    sampler     the walk: DGN-AM and the PPGN family
    walking     the same as a run, with its history
"""
