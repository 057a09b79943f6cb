"""`make bench`: formulas rendered while building, against the same notes rendered by KaTeX in the reader's browser.

Both variants are made from one copy of the project and differ in one setting and three scripts. Builds are timed by
`variants`, pages by `loading`; the table is printed by `__main__`.
"""
