"""Benches: what aowhisk costs beside a bare aiohttp loop; `python -m bench` runs them."""
