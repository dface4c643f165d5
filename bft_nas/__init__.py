"""Architecture search for mobile image networks under a hard MAC budget, butterfly transforms included."""

__version__ = "0.1.0"
