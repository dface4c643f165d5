"""Labelled images: the bundled ones, CIFAR-10, folders, arrays; and images on a device."""
