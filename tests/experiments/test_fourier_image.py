"""The picture, its split, and a few steps of training."""

import numpy as np

from scripts.experiments import fourier_image as fi


def test_the_photograph_and_its_split():
    picture = fi.photograph()
    assert picture.shape == (fi.SIDE, fi.SIDE)
    assert 0 <= picture.min() < 0.1
    assert 0.9 < picture.max() <= 1
    board = fi.chequerboard()
    assert board.mean() == 0.5
    assert not np.any(board[1:] & board[:-1])  # every neighbour of a training pixel is held out
    assert not np.any(board[:, 1:] & board[:, :-1])
    points = fi.coordinates().reshape(fi.SIDE, fi.SIDE, 2)
    assert np.allclose(points[1, 0] - points[0, 0], [1 / fi.SIDE, 0])


def test_a_few_steps_already_help():
    found = fi.train(5.0, steps=10)
    assert found["moments"].tolist() == [0, 10]
    assert found["train_psnr"][1] > found["train_psnr"][0]
    assert found["image"].shape == (fi.SIDE, fi.SIDE)
