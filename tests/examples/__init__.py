# SPDX-License-Identifier: Apache-2.0
"""Examples, demo and notebooks are executed: one that does not run is a failing
test."""
