DATE_FORMAT = "d/m/Y"  # Django's names of the months have a capital, which is wrong in Portuguese
DATETIME_FORMAT = r"d/m/Y à\s H:i"
