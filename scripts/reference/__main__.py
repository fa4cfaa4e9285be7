"""Print docs/reference.md."""

from scripts.reference.page import page

if __name__ == "__main__":
    print(page(), end="")
