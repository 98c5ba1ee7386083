"""
The planted defects: for each attack the mistakes that its tests were seen to catch.

`make defects` plants each in a copy of the project and runs its tests, which must turn red;
docs/reference/defects.md is made from these tables.
"""

from .accounts import ACCOUNTS
from .admin import ADMIN
from .edges import EDGES
from .enumeration import ENUMERATION
from .guessing import GUESSING
from .input import INPUT
from .starvation import STARVATION

DEFECTS = [*ENUMERATION, *GUESSING, *INPUT, *ACCOUNTS, *EDGES, *ADMIN, *STARVATION]
