"""Stage: facts x criteria -> one result per criterion. Pure; record lane in closures."""
