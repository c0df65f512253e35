"""The driver for trio: the only part of the package that waits."""
