"""The figures of a questionnaire: effects, matrices, doses, correlations and what the numbers rest on."""
