"""How good a model is: metrics, their uncertainty, temperature and decision rule, reports."""
