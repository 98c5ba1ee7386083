"""The views of the floor. Each parses one form and writes the three rows of a sign-up in one commit."""

from django import forms
from django.core.cache import cache
from django.db import transaction
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.urls import path
from django.utils import timezone

from signup.models import User
from verification.models import CaptchaModel
from worker.models import Delivery

from .tasks import nothing


class EmailForm(forms.Form):
    email = forms.EmailField()


def write(email: str) -> None:
    now = timezone.now()
    with transaction.atomic():
        User.objects.bulk_create([User(email=email)])  # its save() would add a savepoint
        sign_up = CaptchaModel.objects.create(
            handle=email[:43], address=email, nonce="0" * 32, key_id="k", length=4, created_at=now, requested_at=now
        )
        Delivery.objects.create(
            kind="code",
            recipient=email,
            language="en",
            sign_up=sign_up,
            generation=1,
            created_at=now,
            next_attempt_at=Now(),
            message_id=email,
        )


def answer(text: str = "", status: int = 200) -> HttpResponse:
    return HttpResponse(text, status=status, headers={"Content-Length": str(len(text))})


def bare(request: HttpRequest) -> HttpResponse:
    form = EmailForm(request.POST)
    if not form.is_valid():
        return answer(status=400)
    write(form.cleaned_data["email"])
    return answer(status=204)


def full(request: HttpRequest) -> HttpResponse:
    """The same with CSRF (by the middleware), two counts of a network in one trip to Redis, and a message."""
    if request.method == "GET":
        token = f'<input type="hidden" name="csrfmiddlewaretoken" value="{get_token(request)}">'
        return answer(f'<form>{token}<input name="email"></form>')
    form = EmailForm(request.POST)
    if not form.is_valid() or max(counts(request.META["HTTP_X_FORWARDED_FOR"])) > 1_000_000:
        return answer(status=400)
    write(form.cleaned_data["email"])
    nothing.delay(1)
    return answer(status=204)


def counts(network: str) -> tuple[int, int]:
    pipeline = cache._cache.get_client(write=True).pipeline(transaction=False)
    for name, seconds in (("minute", 60), ("hour", 3_600)):
        pipeline.incr(f"floor:{name}:{network}")
        pipeline.expire(f"floor:{name}:{network}", seconds)
    minute, _, hour, _ = pipeline.execute()
    return minute, hour


urlpatterns = [path("bare/", bare), path("full/", full)]
