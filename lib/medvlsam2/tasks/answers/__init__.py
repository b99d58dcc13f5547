"""From what was found to what is answered: geometry that holds, wholes and parts, sides, presence, confidence."""
