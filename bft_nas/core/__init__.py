"""What everything else stands on: errors, files, units, timing, lazy imports, interrupts. Needs no torch."""
