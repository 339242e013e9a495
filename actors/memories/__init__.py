"""Memories: conversations by session, and passages of documents."""
