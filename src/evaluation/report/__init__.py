"""The evaluation report: tables and figures."""
