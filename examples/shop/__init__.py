# SPDX-License-Identifier: Apache-2.0
"""A shop's orders: a deterministic generator, and the demo of the whole
architecture."""
