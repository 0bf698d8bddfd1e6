# SPDX-License-Identifier: Apache-2.0
"""The tools that guard the tree are tested too: a check that finds nothing proves nothing."""
