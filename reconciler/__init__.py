"""Git → frozen versions → live deployments. Imports `schemas` and `store`; never `runner`."""
