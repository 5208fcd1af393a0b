"""Looking at a picture with a network: what each layer makes of it, and why.

Vocabulary, in the order of the work:

picture     uint8 ``[H, W, 3]``, read safely (``pictures``); many of them are a collection (``collections``)
unit        what is looked at: a channel (its highest or its mean activation), a neuron, a class (``units``)
maps        a layer's activation of a picture, one map per channel (``activations``)
projection  a unit carried back to pixels by a rule for rectifiers: deconvnet, guided, gradient, linear (``deconvnet``)
attribution signed relevance of each pixel for a unit, by any method (``attribution``); it is checked by randomising the
            network (``sanity``)
wiring      which filter feeds which (``wiring``), and which go together over pictures (``similar``)
patches     the parts of real pictures that excite a unit most, counted (``tally``) and cut out (``patches``), and what
            they say of a synthetic picture (``naturals``)
weights     kernels, matrices and their projections (``weights``)
display     numbers to colours (``display``)
"""
