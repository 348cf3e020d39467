"""What a user brings: readers, schemas, validation, quality checks, chat formatting. Nothing is imported here."""
