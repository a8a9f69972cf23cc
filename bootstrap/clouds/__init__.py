"""What clouds and clusters say when they are asked, read-only, before anything is made there."""
