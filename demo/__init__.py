"""Valmerande, a fictional commune: its identity, its rules, its subscribers and a week of its events."""
