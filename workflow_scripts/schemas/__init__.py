"""JSON Schemas: checked and compiled once, answers validated, and their objects read from text.

Schemas come from data sets and answers from models, so both are untrusted: nothing is fetched, and
size, depth and work are limited.
"""
