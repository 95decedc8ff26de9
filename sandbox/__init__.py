"""Local providers (mail, SMS, Mastodon) on the real protocols, with pages that show what they got.

A program of its own: it imports nothing of the hub and the hub starts it as a process. See docs/sandbox.md.
"""
