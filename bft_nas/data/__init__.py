"""Labelled images: the bundled ones, CIFAR-10, folders, arrays, the hub's; and images on a device."""
