# SPDX-License-Identifier: Apache-2.0
"""The five laws of docs, as properties of the public API."""
