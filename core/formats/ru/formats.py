DATE_FORMAT = "j\u00a0E Y\u00a0г."  # no-break spaces: no line begins with "г."
DATETIME_FORMAT = "j\u00a0E Y\u00a0г., G:i"
