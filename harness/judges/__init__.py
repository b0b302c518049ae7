"""Who scores texts: what a text is before anybody judges it, and judges that tell how much of a trait it shows."""
