"""A run's directory: candidates, results, storage, who is at work on it, fronts."""
