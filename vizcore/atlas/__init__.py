"""Every filter of a network, rendered once and kept: an atlas.

::

    head      what an atlas is of: network and settings; the address of each tile
    store     where it lies: a folder, or any fsspec URL; what is written is whole or not there
    evidence  what lies beside a tile: its parts, their addresses and files
    manifest  what there is of each layer: tiles, scores, evidence, errors
    plan      layers by pattern, missing channels, shards of 30 to 90 s, largest first
    shard     render_shard: the one function that all engines run
    gather    the shards of evidence: a survey of a layer, then patches, deconvolutions, weights, neighbours
    engines   the interface of engines; local: one process per device; cluster: Dask
    job       shards in, tiles out, until nothing is missing
    site      a static site of a finished or growing atlas

Reading an atlas (head, store, evidence, manifest, site) needs no torch.
"""
