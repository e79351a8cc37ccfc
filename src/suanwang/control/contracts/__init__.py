"""What parties agree on: agreements with their credits, listings with their licences."""
