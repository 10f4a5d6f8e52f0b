"""A network really trained on the digits of scikit-learn: 64 - 512 - 512 - 10, Adam with weight decay."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

WIDTH, EPOCHS, DECAY = 512, 60, 1e-3

Split = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def digits() -> Split:
    """Images and labels: three quarters to train on, one to test on, every class in both."""
    X, y = load_digits(return_X_y=True)
    train, test, labels, test_labels = train_test_split(X / 16, y, test_size=0.25, random_state=0, stratify=y)
    return torch.tensor(train).float(), torch.tensor(test).float(), torch.tensor(labels), torch.tensor(test_labels)


def trained(seed: int = 0) -> tuple[nn.Sequential, Split]:
    """The network, and the data that it was trained and is tested on."""
    torch.manual_seed(seed)
    X, test, y, test_y = digits()
    hidden = [nn.Linear(64, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU()]
    network = nn.Sequential(*hidden, nn.Linear(WIDTH, 10))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=DECAY)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(X)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(X[rows]), y[rows]).backward()
            optimizer.step()
    return network, (X, test, y, test_y)


def accuracy(network: nn.Module, X: torch.Tensor, y: torch.Tensor) -> float:
    """Share of labels that are right."""
    with torch.no_grad():
        return float((network(X).argmax(1) == y).double().mean())


def loss(network: nn.Module, X: torch.Tensor, y: torch.Tensor) -> float:
    """Mean cross-entropy."""
    with torch.no_grad():
        return float(nn.functional.cross_entropy(network(X), y))


def between(network: nn.Sequential, layer: int, X: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """What reaches a Linear layer, and what it gives, its bias aside."""
    with torch.no_grad():
        features = network[:layer](X).double().numpy()
    return features, features @ network[layer].weight.detach().double().numpy().T
