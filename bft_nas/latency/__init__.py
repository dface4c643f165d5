"""Milliseconds of networks on this machine: measured, and predicted from a table of layers."""
