from django.urls import path

from . import views

urlpatterns = [
    path("inbox/", views.mails, name="demo_inbox"),
    path("inbox/<str:key>/", views.mail, name="demo_mail"),
    path("inbox/<str:key>/html/", views.html, name="demo_mail_html"),
]
