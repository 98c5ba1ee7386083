from django.urls import path

from clubs import views
from core import urls as doorcode
from core.urls import handler400, handler403, handler404, handler500  # noqa: F401 - Django looks for them here

urlpatterns = [
    path("clubs/", views.clubs, name="clubs"),
    path("clubs/mine/", views.Mine.as_view()),
    *doorcode.urlpatterns,
]
