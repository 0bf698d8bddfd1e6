# SPDX-License-Identifier: Apache-2.0
"""What survives when a process does not."""
