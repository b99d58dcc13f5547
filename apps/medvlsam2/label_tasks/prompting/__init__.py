"""What clients ask for, field by field: strict parsers, phrases of several objects, clicks of several objects."""
