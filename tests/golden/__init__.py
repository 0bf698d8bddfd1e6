# SPDX-License-Identifier: Apache-2.0
"""Stores written by released formats, and what reading them must give."""
