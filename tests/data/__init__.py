# SPDX-License-Identifier: Apache-2.0
"""Tests on real input: Wikipedia edits and Beijing's air."""
