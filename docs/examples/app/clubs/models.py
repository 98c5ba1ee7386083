from django.conf import settings
from django.db import models


class Member(models.Model):
    # CASCADE or SET_NULL: people may delete their account.
    account = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE)
    club = models.CharField(max_length=50, default="Newcomers")
