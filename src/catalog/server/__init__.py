"""What a server does besides: founding, consensus, its replica, and gossip into catalog."""
