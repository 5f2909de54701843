"""What a mail server wants (pure): each role turns the declaration of one host into desired items."""
