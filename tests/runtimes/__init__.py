"""The library in processes of their own, under the servers and event loops that users run."""
