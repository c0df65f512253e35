"""What every agent does, client or server: its own services and checks, and whom gossip shows."""
