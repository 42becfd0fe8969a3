"""Readers of the layouts of labelled images on disk. They list files and check tables, and open no image file."""

from objectives.datasets.layouts.arrays import CIFAR10, CIFAR100, read_cifar10, read_cifar100, read_digits
from objectives.datasets.layouts.birds import CUB, NABIRDS, read_cub, read_nabirds
from objectives.datasets.layouts.huggingface import HUGGINGFACE_LAYOUT, read_huggingface
from objectives.datasets.layouts.imagenet import IMAGENET, read_imagenet
from objectives.datasets.layouts.layout import Layout
from objectives.datasets.layouts.own import CSV_LAYOUT, FOLDER_LAYOUT, read_csv, read_folder
from objectives.datasets.layouts.oxford import AIRCRAFT, FLOWERS, read_aircraft, read_flowers
from objectives.datasets.layouts.stanford import CARS, DOGS, read_cars, read_dogs

__all__ = [
    "AIRCRAFT",
    "CARS",
    "CIFAR10",
    "CIFAR100",
    "CSV_LAYOUT",
    "CUB",
    "DOGS",
    "FLOWERS",
    "FOLDER_LAYOUT",
    "HUGGINGFACE_LAYOUT",
    "IMAGENET",
    "NABIRDS",
    "Layout",
    "read_aircraft",
    "read_cars",
    "read_cifar10",
    "read_cifar100",
    "read_csv",
    "read_cub",
    "read_digits",
    "read_dogs",
    "read_flowers",
    "read_folder",
    "read_huggingface",
    "read_imagenet",
    "read_nabirds",
]
