"""The day in figures. A plain function: `main` takes JSON and gives JSON."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any


def main(day: dict[str, Any]) -> dict[str, Any]:
    """Takes {"sales": [{"product", "amount"}], "returns": […], "currency"}; gives the report."""
    sold, returned = _total(day["sales"]), _total(day["returns"])
    best = Counter(sale["product"] for sale in day["sales"]).most_common(1)
    print(f"read {len(day['sales'])} sales and {len(day['returns'])} returns")  # a log line of the node
    return {
        "headline": f"{sold - returned} {day['currency']} from {len(day['sales'])} sales",
        "sold": str(sold),
        "returned": str(returned),
        "best_seller": best[0][0] if best else None,
    }


def _total(rows: list[dict[str, Any]]) -> Decimal:
    """Money is added as decimals: 0.1 + 0.2 has to be 0.3."""
    return sum((Decimal(str(row["amount"])) for row in rows), Decimal(0)).quantize(Decimal("0.01"))
