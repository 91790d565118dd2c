"""What several adapters stand on."""
