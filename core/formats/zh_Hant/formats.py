MONTH_DAY_FORMAT = "n月j日"  # Django writes "03月1日"
