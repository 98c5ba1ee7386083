"""Email addresses in templates: `{% load addresses %}`."""

from django import template

from core import email_addresses

register = template.Library()
register.filter("shown", email_addresses.shown)
