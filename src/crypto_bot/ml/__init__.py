"""The Bot v3.1 guide's function names: thin doors, pandas in and out, onto the stages."""
