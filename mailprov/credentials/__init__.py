"""What is handed out to people: generated passwords, kept in a folder until they are, and messages that bring them."""
