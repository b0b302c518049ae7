"""A run: its plan, its conditions, how it is made, kept, read again, compared and published."""
