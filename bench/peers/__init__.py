"""The contenders: each is a command that reads the same `inventory.json` and ends when its hosts are done."""
