"""A shop that people correct: gift wrapping has its own hours, and nobody told the catalogue."""

from __future__ import annotations

SHOP = """
name: shop
intents:
  - name: order_status
    examples: [where is my parcel, track my order, when will it come, has my order shipped, did you send it]
  - name: gift_wrapping
    examples: [please wrap it as a gift, can i have gift paper, wrap it for a birthday, put a ribbon around it]
  - name: opening_hours
    examples: [when do you open, are you open on sunday, what are your hours, how late can i come]
"""
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
CORRECTIONS = [
    *(f"is somebody wrapping gifts on {day}" for day in DAYS),
    *(f"gift paper and ribbon desk {day} evening" for day in DAYS),
]
