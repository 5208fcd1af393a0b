"""Networks of one's own: from pictures with labels to weights with a card.

::

    data       data sets by name, or class folders: pictures and labels in memory
    changes    which changes of a batch there are; augment makes them
    recipe     the numbers of a training, with their ranges
    design     the network: a new one, or one that exists with a new head
    robust     adversarial training
    loop       one step at a time; nothing is read or written
    folder     what is left on disk after each epoch
    orders     all that one training takes, and the defaults of each data set
    runner     from the order to the folder
    evaluate   accuracy, confusions, mistakes, ensembles
    charts     pictures of them
"""
