"""Mails by Celery, as people write it: the request says what the mail is about, the task looks it up and sends it."""

from allauth.account.adapter import DefaultAccountAdapter

from .tasks import send_code


class MailsByCelery(DefaultAccountAdapter):
    def send_mail(self, template_prefix, email, context):
        send_code.delay(context["user"].pk, email, context["code"], template_prefix)
