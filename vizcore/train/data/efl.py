"""Three letters, generated: the smallest data set with which a network can be understood weight by weight."""

from __future__ import annotations

import numpy as np
import torch

from vizcore.train.data.parts import Dataset, Part

HEIGHT, WIDTH = 7, 5
PER_CLASS = 2000
NOISE = 0.2  # standard deviation; a stroke is 1, paper is 0
WHITE = 2.0  # the value that is stored as 255: strokes with noise reach beyond 1

LETTERS = {
    "E": ("#####", "#....", "#....", "####.", "#....", "#....", "#####"),
    "F": ("#####", "#....", "#....", "####.", "#....", "#....", "#...."),
    "L": ("#....", "#....", "#....", "#....", "#....", "#....", "#####"),
}


def generate(per_class: int = PER_CLASS, seed: int = 0) -> Part:
    """``per_class`` pictures of each letter, uint8 ``[N, 1, 7, 7]``: 7 × 5 bitmaps in the middle of a square.

    Noise N(0, 0.2) is added to every pixel of the bitmap, and what is below 0 is 0.
    """
    rng = np.random.default_rng([seed, per_class])
    clean = np.array([[[dot == "#" for dot in line] for line in letter] for letter in LETTERS.values()], np.float64)
    labels = np.repeat(np.arange(len(LETTERS)), per_class)
    values = clean[labels] + rng.normal(0, NOISE, (len(labels), HEIGHT, WIDTH))
    pixels = np.rint(values.clip(0, WHITE) * (255 / WHITE)).astype(np.uint8)
    square = np.zeros((len(labels), 1, HEIGHT, HEIGHT), np.uint8)
    left = (HEIGHT - WIDTH) // 2
    square[:, 0, :, left : left + WIDTH] = pixels
    return Part(torch.from_numpy(square), torch.from_numpy(labels))


def dataset(seed: int = 0) -> Dataset:
    """The data set: 2,000 pictures a letter to train with, 1,000 others to test."""
    return Dataset(
        "efl",
        tuple(LETTERS),
        generate(PER_CLASS, seed),
        test=generate(PER_CLASS // 2, seed),
        mean=(0.0,),
        std=(1 / WHITE,),  # a stroke is 1 again
        facts={
            "data": "E, F and L of 7 × 5 pixels with noise, generated; 6,000 pictures to train and 3,000 to test",
            "licence": "MIT (weights and pictures)",
        },
    )
