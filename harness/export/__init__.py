"""Other tools: our controlled model and our questionnaires in lm-eval and Inspect, and runs in their formats."""
