"""Rules that turn masks into answers: clicks and boxes bind, wholes and parts, sides, presence, confidence."""
