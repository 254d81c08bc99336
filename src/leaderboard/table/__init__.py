"""The leaderboard as a table."""
