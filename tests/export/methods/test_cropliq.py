"""The pretext network: what learns, what does not, and what pulls it back."""

from __future__ import annotations

import pytest
import torch

from edge_app.errors import ShapeError
from export.backbones.efficientnet_lite import load_lite0
from export.backbones.pretext_network import PretextNet
from export.methods.cropliq.pretext_loss import WAYS, anchor_of, pretext_loss
from export.methods.cropliq.pretext_train import PretextSettings

pytestmark = pytest.mark.needs("the extra train")


def network(ways: int = 3) -> PretextNet:
    """Lite0 to block 9, of which 8 and 9 learn."""
    torch.manual_seed(0)
    return PretextNet(load_lite0(9), 8, ways)


@pytest.mark.parametrize("ways", sorted(WAYS))
def test_prefix_and_tail_are_the_whole_network(ways: int) -> None:
    """Logits from cached features equal those from the backbone in one piece."""
    net = network(ways)
    crops = torch.randint(0, 256, (2, 32, 64, 3), dtype=torch.uint8)
    logits = net(net.prefix(crops))
    whole = net.backbone((crops.float().permute(0, 3, 1, 2) - 127) / 128, (9,))[0]
    assert logits.shape == (2, ways)
    torch.testing.assert_close(logits, net.head(whole.mean((2, 3))))


def test_a_step_moves_late_blocks_only() -> None:
    """After one optimiser step blocks 0 to 7 are bit for bit as ImageNet left them."""
    net, before = network(), load_lite0(9).state_dict()
    optimiser = torch.optim.SGD(net.trained_parameters(), 0.01)
    logits = net(net.prefix(torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)))
    loss = pretext_loss(net, logits, torch.tensor([0, 1, 2, 0]), anchor_of(net), 0.01)
    torch.autograd.backward(loss)
    optimiser.step()
    moved = {
        name.split(".")[1]
        for name, value in net.backbone.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert moved == {"8", "9"}


def test_loss_is_the_papers_plus_the_pull_to_the_start() -> None:
    """At the start the loss is cross entropy; a drift of 1 in n weights adds n/2."""
    net = network(2)
    anchor, labels = anchor_of(net), torch.tensor([0, 1])
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    plain = torch.nn.functional.cross_entropy(logits, labels)
    torch.testing.assert_close(pretext_loss(net, logits, labels, anchor, 1.0), plain)
    bias = net.backbone.get_parameter("blocks.9.project.bias")
    with torch.no_grad():
        bias.add_(1.0)
    drifted = pretext_loss(net, logits, labels, anchor, 1.0)
    torch.testing.assert_close(drifted - plain, torch.tensor(len(bias) / 2.0), rtol=1e-4, atol=1e-4)


def test_five_ways_are_refused() -> None:
    """CropLiq is 2-, 3- or 4-way."""
    with pytest.raises(ShapeError, match="2-, 3- or 4-way, got 5"):
        PretextSettings(ways=5)
