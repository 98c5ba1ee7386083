"""One task a mail: read the row, render, `send_mail` by Django's SMTP backend."""

from celery import shared_task
from django.contrib.auth import get_user_model
from django.core.mail import send_mail
from django.template.loader import render_to_string

SITE = {"domain": "peer.test", "name": "peer.test"}


@shared_task(name="peer.send_code")
def send_code(user_id, email, code, prefix):
    user = get_user_model().objects.get(pk=user_id)
    context = {"user": user, "email": email, "code": code, "current_site": SITE}
    subject = render_to_string(f"{prefix}_subject.txt", context).strip()
    text = render_to_string(f"{prefix}_message.txt", context)
    send_mail(subject, text, None, [email], html_message=render_to_string("peer/code.html", context))
