"""Labs: notebooks in docs/labs, written as text and executed by `make labs`.

`kit` is what their cells import.
"""
