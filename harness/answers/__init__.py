"""Tables of people's answers: reading them, checking their keying, and what they say about an inventory."""
