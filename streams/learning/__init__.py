"""What a worker does about people's corrections: takes them, guards what they teach, follows it."""
