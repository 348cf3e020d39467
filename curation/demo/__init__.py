"""The demo: a small world with known truth, and the recipe of the model that is tuned in it.

`skills` says what can be asked, `world` draws a pool, query and test sets from it, `corpus` writes the plain text that
`pretrain` trains winnow-tiny on, and `recipe` holds the settings under which the demo runs.
"""
