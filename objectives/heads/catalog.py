"""The catalog of heads by name. Their options are in `spaces.HEAD_OPTIONS`."""

from objectives.heads.head import Head
from objectives.heads.linear_models.linear import Linear
from objectives.heads.linear_models.ridge import Ridge
from objectives.heads.neighbours.knn import Knn
from objectives.heads.neighbours.prototype import Prototype
from objectives.heads.networks.attention import attention
from objectives.heads.networks.cnn import cnn
from objectives.heads.networks.mlp import mlp
from objectives.heads.networks.network import NetworkHead
from objectives.heads.unit_length import UnitLength
from spaces.lookup import lookup

HEADS: dict[str, Head] = {
    "linear": Linear(),
    "linear-unit": UnitLength(Linear()),
    "mlp": NetworkHead(mlp),
    "ridge": Ridge(),
    "knn": Knn(),
    "prototype": Prototype(),
    "cnn": NetworkHead(cnn, mixed=True),
    "attention": NetworkHead(attention, mixed=True, blend=True),
}


def head_named(name: str) -> Head:
    """Raises UnknownNameError, which lists the names there are."""
    return lookup("head", name, HEADS)
