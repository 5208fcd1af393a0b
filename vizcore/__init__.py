"""vizcore: what the filters of a convolutional network look for, live.

The words of the field, in the order in which data flows through the package:

*model*, *layer* (a module path such as ``features.7``), *channel* (a filter), *neuron* (a channel at a position) |
*objective* (what is maximised), *image* (with its *parameterization*: Fourier or pixel), *transform* (jitter, scale,
rotate), *penalty* (acts on the image or the score) | *step*, *score*, *frame*, *history*, *run*, *spec* (all that is
needed to repeat a run), *knob* (a hot parameter), *preset*, *fork*, *recipe*, *tile*.
"""

__version__ = "0.1.0"
