"""Train ``digits``: ``python models/digits/train.py FOLDER``, with the four MNIST files (``*-ubyte.gz``) in FOLDER.

About three minutes on two CPU cores.  Writes ``weights.safetensors`` and ``card.json`` beside this file.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from vizcore.train.robust import Average
from vizcore.zoo.nets import DigitsNet

MEAN, STD = (0.1307,), (0.3081,)  # of the training set
CLASSES = [str(digit) for digit in range(10)]


def read(folder: Path, part: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The pictures of one part, uint8 ``[N, 1, 28, 28]``, and labels ``[N]``; ``part`` is ``train`` or ``t10k``."""
    with gzip.open(folder / f"{part}-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)
    with gzip.open(folder / f"{part}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return torch.from_numpy(images.copy()), torch.from_numpy(labels.astype(np.int64))


def prepare(batch: torch.Tensor) -> torch.Tensor:
    """Pictures as the network takes them: float ``[N, 1, 28, 28]`` of mean 0 and deviation 1."""
    return (batch.float() / 255 - MEAN[0]) / STD[0]


def shifted(batch: torch.Tensor, rng: torch.Generator, reach: int = 2) -> torch.Tensor:
    """Each picture moved at random by up to ``reach`` pixels; its black margin comes in at the edge."""
    count, side = len(batch), batch.shape[-1]
    padded = F.pad(batch, [reach] * 4)[:, 0]
    rows, columns = (torch.randint(0, 2 * reach + 1, (count, 1), generator=rng) + torch.arange(side) for _ in range(2))
    return padded[torch.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]][:, None]


def accuracy(network: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """The share of pictures whose largest logit is their label's."""
    network.eval()
    with torch.no_grad():
        right = sum(
            int((network(prepare(x)).argmax(1) == y).sum())
            for x, y in zip(images.split(500), labels.split(500), strict=True)
        )
    return right / len(images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    rng = torch.Generator().manual_seed(args.seed)
    images, labels = read(args.folder, "train")
    network = DigitsNet(len(CLASSES))
    optimizer = torch.optim.AdamW(network.parameters(), args.lr, weight_decay=1e-3)
    per_epoch = len(images) // args.batch_size
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, total_steps=args.epochs * per_epoch)
    average = Average(network, 0.998)
    began = time.perf_counter()
    for epoch in range(args.epochs):
        network.train()
        total = 0.0
        order = torch.randperm(len(images), generator=rng)[: per_epoch * args.batch_size]
        for rows in order.view(per_epoch, args.batch_size):
            loss = F.cross_entropy(network(prepare(shifted(images[rows], rng))), labels[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            average.update(network)
            total += float(loss.detach())
        print(
            f"epoch {epoch + 1}/{args.epochs}  loss {total / per_epoch:.4f}  {time.perf_counter() - began:.0f} s",
            flush=True,
        )
    seconds = time.perf_counter() - began

    network.load_state_dict(average.state)
    score = accuracy(network, *read(args.folder, "t10k"))
    print(f"accuracy {score:.4f}")
    args.out.mkdir(parents=True, exist_ok=True)
    weights = args.out / "weights.safetensors"
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, weights)
    card = {
        "name": "digits",
        "title": "Handwritten digits",
        "arch": "digits",
        "arch_options": {"classes": len(CLASSES)},
        "channels": 1,
        "size": 28,
        "mean": MEAN,
        "std": STD,
        "classes": CLASSES,
        "showcase": {"layer": "relu2", "channels": list(range(16))},
        "data": "MNIST (LeCun, Cortes, Burges 1998), ten digits, 60,000 pictures to train and 10,000 to test",
        "recipe": "cross-entropy on pictures shifted by up to 2 px; AdamW one-cycle, averaged weights",
        "command": "python models/digits/train.py FOLDER",
        "seed": args.seed,
        "epochs": args.epochs,
        "seconds": round(seconds),
        "accuracy": round(score, 4),
        "licence": "MIT (weights); the pictures of MNIST are under CC BY-SA 3.0",
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
    }
    (args.out / "card.json").write_text(json.dumps(card, indent=2) + "\n")


if __name__ == "__main__":
    main()
