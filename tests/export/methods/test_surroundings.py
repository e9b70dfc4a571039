"""What lies beside a product in its crop: it is none of the inspector's business."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from support.method_parts import CROP_HW, part, parts, product_mask, run_torch, train
from torch import nn

from edge_app.records import U8Array
from export.methods.ensemble.method import Ensemble
from export.methods.ensemble.surroundings import RIM_PX, Surroundings, surroundings_of
from export.methods.protocol import Trained

pytestmark = pytest.mark.needs("the extra train")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train(Ensemble(), tmp_path_factory.mktemp("ensemble"), data=parts(14))


def with_rail(crop: U8Array) -> U8Array:
    """Return a good part beside which a bright rail with a dark edge runs."""
    beside: U8Array = crop.copy()
    beside[:2] = 230
    beside[2] = 10
    return beside


def test_a_rail_beside_a_good_part_does_not_count(trained: Trained) -> None:
    """No training crop has one; the network's view of the part's edge reaches it."""
    good = np.stack([part(i) for i in range(200, 206)])
    scores, maps = run_torch(trained, good)
    railed = np.stack([with_rail(crop) for crop in good])
    beside, beside_maps = run_torch(trained, railed)
    np.testing.assert_allclose(beside, scores, atol=0.05)
    np.testing.assert_allclose(beside_maps, maps, rtol=0.05, atol=0.01)
    unguarded = copy.deepcopy(trained)
    unguarded.graph.surroundings = nn.Identity()
    assert (run_torch(unguarded, railed)[0] - run_torch(unguarded, good)[0]).max() > 0.5


def test_the_product_and_its_rim_are_seen_as_they_are() -> None:
    """And beyond them the mean of the good crops stands, in every crop the same."""
    crops = np.stack([part(i) for i in range(8)])
    mask = product_mask()
    made = surroundings_of(crops, mask)
    seen = made(torch.from_numpy(crops)).numpy()
    inside = mask > 0
    np.testing.assert_allclose(seen[:, inside], crops[:, inside], atol=1.0)
    y, x = np.argwhere(inside).min(0)
    far = slice(0, max(0, y - RIM_PX - 6)), slice(0, max(0, x - RIM_PX - 6))
    corner = seen[:, far[0], far[1]]
    np.testing.assert_allclose(corner, np.broadcast_to(corner[:1], corner.shape), atol=1.0)


def test_a_product_that_fills_the_crop_is_seen_whole() -> None:
    """With no mask, or one that leaves no room beside it, the graph is the one without."""
    crops = np.stack([part(i) for i in range(3)])
    assert isinstance(surroundings_of(crops, None), nn.Identity)
    assert isinstance(surroundings_of(crops, np.full(CROP_HW, 255, np.uint8)), nn.Identity)
    assert isinstance(surroundings_of(crops, product_mask()), Surroundings)
