"""Identities exchanged over HTTP by nodes that share nothing but a join secret: protocol, server, client, agreement."""
