"""What every page may show of the site."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest


def site(request: HttpRequest) -> dict[str, Any]:
    return {"brand": settings.SITE_NAME, "signup_open": settings.SIGNUP_OPEN, "demo": settings.DEMO}
