"""Written replies that judges rate: what tasks of free text share, from the status of a reply to the leaderboard."""
