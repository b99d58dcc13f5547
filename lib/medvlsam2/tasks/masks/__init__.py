"""From the prompts of one request to masks that agree with them."""
