"""PostgreSQL holds the truth: migrations, and one module an aggregate. The only SQL of the project is here."""
