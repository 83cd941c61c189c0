"""The recording of the demo in the README: `python -m scripts.demo.recording` makes docs/images/demo.svg.

`capture` runs `make demo` in a terminal and notes what it writes when, `terminal` turns that into screens,
`film` chooses the screens and how long each stays, and `svg` draws them as one animated picture.
"""
