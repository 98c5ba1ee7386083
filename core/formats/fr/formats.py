DATE_FORMAT = "d/m/Y"  # Django writes "1 mars", where French says "1er mars"
DATETIME_FORMAT = "d/m/Y à H:i"
