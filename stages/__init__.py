"""The steps of the study: each module is one program that reads files and writes files."""
