# SPDX-License-Identifier: Apache-2.0
"""`python -m examples.shop`: the demo."""

from examples.shop.demo import main

raise SystemExit(main())
